//! ● The roster: which tags are ours. It comes in parts, and the parts of one revision together replace it.
//!
//! ```text
//! settled(rev) ──part of a newer rev──▶ assembling ──last missing part──▶ settled(newer rev)
//!                                         │   ▲
//!                                         └───┘ part of a still newer rev: start again
//! ```
//! An older revision is ignored; the one we have comes with every hello and changes nothing. An incomplete roster is not stored: after a restart the hello
//! tells the service which revision we have, and it sends the parts again.

use std::collections::BTreeMap;

use wire::tag::{RadioKey, RosterEntry, TAGS_PER_MESSAGE_MAX, TagId};

use crate::tally::Ignored;

/// Most parts of a roster, whatever the limit of tags.
const PARTS_MAX: u16 = 1000;

/// One part, as it came.
#[derive(Clone, Debug)]
pub struct RosterPart {
    /// Which revision.
    pub rev: u64,
    /// Which part, from 0.
    pub part: u16,
    /// How many parts.
    pub parts: u16,
    /// The tags.
    pub tags: Vec<RosterEntry>,
}

/// Where the roster stands.
#[derive(Clone, Debug)]
pub struct Roster {
    rev: u64,
    tags_max: usize,
    assembly: Option<Assembly>,
}

#[derive(Clone, Debug)]
struct Assembly {
    rev: u64,
    parts: u16,
    came: BTreeMap<u16, Vec<RosterEntry>>,
}

impl Roster {
    /// A settled roster of revision `rev`; 0 when there is none.
    pub fn settled(rev: u64, tags_max: usize) -> Self {
        Roster { rev, tags_max, assembly: None }
    }

    /// The revision we have; 0 when none.
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// Whether a tag that is not in the roster is unknown for good: there is a roster and no newer one under way.
    pub fn is_settled(&self) -> bool {
        self.rev > 0 && self.assembly.is_none()
    }

    /// Takes a part; with the last one, the tags that now make the roster. `None`: parts are lacking, or it is known.
    pub fn receive(&mut self, part: RosterPart) -> Result<Option<BTreeMap<TagId, RadioKey>>, Ignored> {
        let under_way = self.assembly.as_ref().map_or(0, |assembly| assembly.rev);
        if part.rev < self.rev || part.rev < under_way {
            return Err(Ignored::RosterOld);
        }
        if part.rev == self.rev {
            return Ok(None);
        }
        let is_possible = part.part < part.parts && part.parts <= PARTS_MAX;
        if !is_possible || part.tags.len() > TAGS_PER_MESSAGE_MAX {
            return Err(Ignored::RosterPart);
        }
        let same = self.assembly.take().filter(|assembly| assembly.rev == part.rev);
        let mut assembly =
            same.unwrap_or(Assembly { rev: part.rev, parts: part.parts, came: BTreeMap::new() });
        if assembly.parts != part.parts {
            self.assembly = Some(assembly);
            return Err(Ignored::RosterPart);
        }
        assembly.came.insert(part.part, part.tags);
        if assembly.came.values().map(Vec::len).sum::<usize>() > self.tags_max {
            return Err(Ignored::RosterTooLarge);
        }
        if assembly.came.len() < usize::from(assembly.parts) {
            self.assembly = Some(assembly);
            return Ok(None);
        }
        self.rev = assembly.rev;
        Ok(Some(assembly.came.into_values().flatten().map(|entry| (entry.tag, entry.key)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rev: u64, part: u16, parts: u16, tags: &[u64]) -> RosterPart {
        let entry =
            |tag: &u64| RosterEntry { tag: TagId::from_address(*tag), key: RadioKey::from_octets([1; 16]) };
        RosterPart { rev, part, parts, tags: tags.iter().map(entry).collect() }
    }

    /// Plays parts and writes down what each led to.
    fn play(tags_max: usize, parts: &[RosterPart]) -> String {
        let mut roster = Roster::settled(0, tags_max);
        let lines = parts.iter().map(|part| {
            let outcome = match roster.receive(part.clone()) {
                Ok(None) => "no change".to_owned(),
                Ok(Some(tags)) => {
                    format!("tags {:?}", tags.keys().map(|tag| tag.address()).collect::<Vec<_>>())
                }
                Err(reason) => reason.as_str().to_owned(),
            };
            format!("rev {} part {}/{} -> {outcome}", part.rev, part.part, part.parts)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn parts_of_one_revision_together_replace_the_roster() {
        let script = [
            part(1, 0, 1, &[1, 2]),
            part(2, 1, 2, &[4]),
            part(2, 1, 2, &[4]),
            part(2, 0, 2, &[3]),
            part(2, 0, 2, &[3]),
            part(1, 0, 1, &[1]),
            part(3, 0, 2, &[5]),
            part(4, 0, 2, &[6]),
            part(3, 1, 2, &[5]),
            part(4, 1, 3, &[6]),
            part(4, 2, 2, &[6]),
            part(4, 1, 2, &[7]),
            part(5, 0, 1, &[]),
        ];
        insta::assert_snapshot!(play(9, &script), @r"
        rev 1 part 0/1 -> tags [1, 2]
        rev 2 part 1/2 -> no change
        rev 2 part 1/2 -> no change
        rev 2 part 0/2 -> tags [3, 4]
        rev 2 part 0/2 -> no change
        rev 1 part 0/1 -> roster_old
        rev 3 part 0/2 -> no change
        rev 4 part 0/2 -> no change
        rev 3 part 1/2 -> roster_old
        rev 4 part 1/3 -> roster_part
        rev 4 part 2/2 -> roster_part
        rev 4 part 1/2 -> tags [6, 7]
        rev 5 part 0/1 -> tags []
        ");
    }

    #[test]
    fn a_roster_beyond_the_limit_is_ignored_as_a_whole() {
        let script = [part(1, 0, 2, &[1, 2]), part(1, 1, 2, &[3]), part(2, 0, 1, &[1, 2])];
        insta::assert_snapshot!(play(2, &script), @r"
        rev 1 part 0/2 -> no change
        rev 1 part 1/2 -> roster_too_large
        rev 2 part 0/1 -> tags [1, 2]
        ");
    }
}
