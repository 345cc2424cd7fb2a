//! ● The chain: sealing records, checking them.
//!
//! ```text
//! {"seq":7, time … correlation, "group":6, "prev":"<SHA-256 of line 6>", "sum":"<SHA-256 of all before, 16 digits>"}
//! ```
//! `prev` proves the order: whoever alters, removes, inserts or moves a record breaks the next one's. `sum` says which
//! record was altered. `group` says which records were written and synced together: where a later group exists, an
//! earlier one was synced, so damage in it is no interrupted write.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wire::Timestamp;

use crate::day::Day;
use crate::error::{AuditError, Damage};
use crate::record::{Hash, NewRecord, Record, Seq};

/// Largest record, in octets as JSON.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Largest line: a record and its place in the chain.
pub(crate) const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX + 512;

const SUM_DIGITS: usize = 16;
const SUM_LABEL: &str = r#","sum":""#;
const SUM_END: &str = r#""}"#;

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The last record; 0 when there is none.
    pub seq: Seq,
    /// SHA-256 of its line; zeros when there is none.
    pub hash: Hash,
    /// Its time.
    pub time: Timestamp,
}

impl Head {
    /// Of a log without records.
    pub const GENESIS: Head = Head { seq: Seq::ZERO, hash: Hash::ZERO, time: Timestamp::EPOCH };
}

/// A record as JSON, not yet in its place.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) time: Timestamp,
    pub(crate) day: Day,
    fields: String,
}

impl Body {
    pub(crate) fn new(record: &NewRecord) -> Result<Self, AuditError> {
        let day = Day::of(record.time).ok_or(AuditError::Time)?;
        let json = serde_json::to_string(record).map_err(|e| AuditError::Encode(Arc::new(e)))?;
        if json.len() > RECORD_BYTES_MAX {
            return Err(AuditError::TooLong { bytes: json.len() });
        }
        let fields = json[1..json.len() - 1].to_owned();
        Ok(Body { time: record.time, day, fields })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.fields.len()
    }
}

/// Lines ready to be written together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) octets: Vec<u8>,
    pub(crate) first: Seq,
    pub(crate) head: Head,
}

/// Gives each body its place after `head`.
pub(crate) fn seal<'a>(bodies: impl IntoIterator<Item = &'a Body>, head: &Head) -> Group {
    let first = head.seq.next();
    let mut group = Group { octets: Vec::new(), first, head: *head };
    for body in bodies {
        let line = line_of(body, first, &group.head);
        group.head = Head { seq: group.head.seq.next(), hash: hash_of(line.as_bytes()), time: body.time };
        group.octets.extend_from_slice(line.as_bytes());
        group.octets.push(b'\n');
    }
    group
}

fn line_of(body: &Body, group: Seq, head: &Head) -> String {
    let (seq, fields, prev) = (head.seq.next(), &body.fields, head.hash);
    let summed = format!(r#"{{"seq":{seq},{fields},"group":{group},"prev":"{prev}""#);
    let sum = sum_of(summed.as_bytes());
    format!("{summed}{SUM_LABEL}{sum}{SUM_END}")
}

/// Reads a line (without its line feed) by itself: its octets are those that were written.
pub(crate) fn read(line: &[u8]) -> Result<Record, Damage> {
    let tail_bytes = SUM_LABEL.len() + SUM_DIGITS + SUM_END.len();
    let Some(at) = line.len().checked_sub(tail_bytes) else {
        return Err(Damage::Altered);
    };
    let (summed, tail) = line.split_at(at);
    if tail != format!("{SUM_LABEL}{}{SUM_END}", sum_of(summed)).as_bytes() {
        return Err(Damage::Altered);
    }
    serde_json::from_slice(line).map_err(|_| Damage::Shape)
}

/// Reads a line as the one after `head`; returns the new head with it.
pub(crate) fn follow(line: &[u8], head: &Head) -> Result<(Record, Head), Damage> {
    let record = read(line)?;
    if record.seq != head.seq.next() {
        return Err(Damage::Order { found: record.seq });
    }
    if record.prev != head.hash {
        return Err(Damage::Unlinked);
    }
    let head = Head { seq: record.seq, hash: hash_of(line), time: record.time };
    Ok((record, head))
}

/// SHA-256 of these octets.
pub(crate) fn hash_of(octets: &[u8]) -> Hash {
    Hash::from_octets(Sha256::digest(octets).into())
}

fn sum_of(octets: &[u8]) -> String {
    let mut digits = hash_of(octets).to_string();
    digits.truncate(SUM_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(millis: i64, text: &str) -> Body {
        Body::new(&NewRecord {
            time: Timestamp::from_millis(millis),
            actor: text.to_owned(),
            action: "change.created".to_owned(),
            subject: "product/coffee".to_owned(),
            before: json!({ "price": 499 }),
            after: json!({ "price": 549 }),
            correlation: "c-1".to_owned(),
        })
        .unwrap()
    }

    /// Splits `bodies` into groups of these sizes and seals them one after the other.
    fn lines(texts: &[String], sizes: &[usize]) -> Vec<Vec<u8>> {
        let bodies: Vec<Body> = texts.iter().map(|text| body(0, text)).collect();
        let (mut head, mut octets, mut left) = (Head::GENESIS, Vec::new(), &bodies[..]);
        for size in sizes.iter().copied().chain(std::iter::once(usize::MAX)) {
            let (now, later) = left.split_at(size.min(left.len()));
            let group = seal(now, &head);
            head = group.head;
            octets.extend(group.octets);
            left = later;
        }
        octets.split(|octet| *octet == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// The place of the first line that does not follow, from 0.
    fn first_broken(lines: &[Vec<u8>]) -> Option<usize> {
        let mut head = Head::GENESIS;
        lines.iter().position(|line| match follow(line, &head) {
            Ok((_, next)) => {
                head = next;
                false
            }
            Err(_) => true,
        })
    }

    #[test]
    fn a_line_octet_by_octet() {
        let group = seal([&body(5, "ann")], &Head::GENESIS);
        insta::assert_snapshot!(String::from_utf8(group.octets).unwrap().trim_end(), @r#"{"seq":1,"time":5,"actor":"ann","action":"change.created","subject":"product/coffee","before":{"price":499},"after":{"price":549},"correlation":"c-1","group":1,"prev":"0000000000000000000000000000000000000000000000000000000000000000","sum":"b0e1b6a8d5f47ee2"}"#);
    }

    #[test]
    fn what_is_wrong_with_a_line() {
        let lines = lines(&["a".to_owned(), "b".to_owned(), "c".to_owned()], &[1]);
        let second = Head { seq: Seq::from_u64(1), hash: hash_of(&lines[0]), time: Timestamp::EPOCH };
        let forged = Head { hash: Hash::ZERO, ..second };
        assert_eq!(follow(&lines[1], &second).unwrap().0.actor, "b");
        assert_eq!(follow(&lines[2], &second), Err(Damage::Order { found: Seq::from_u64(3) }));
        assert_eq!(follow(&lines[1], &forged), Err(Damage::Unlinked));
        assert_eq!(follow(b"{}", &second), Err(Damage::Altered));
        let whole = format!("{{\"x\":1,\"sum\":\"{}\"}}", sum_of(b"{\"x\":1"));
        assert_eq!(follow(whole.as_bytes(), &second), Err(Damage::Shape));
    }

    #[test]
    fn a_record_that_is_too_long_is_refused() {
        let mut record = NewRecord {
            time: Timestamp::EPOCH,
            actor: String::new(),
            action: String::new(),
            subject: String::new(),
            before: json!(null),
            after: json!(null),
            correlation: String::new(),
        };
        let empty_bytes = serde_json::to_string(&record).unwrap().len();
        record.actor = "x".repeat(RECORD_BYTES_MAX - empty_bytes);
        assert!(seal([&Body::new(&record).unwrap()], &Head::GENESIS).octets.len() <= LINE_BYTES_MAX);
        record.actor.push('x');
        assert!(matches!(Body::new(&record), Err(AuditError::TooLong { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_sealed_follows(texts in prop::collection::vec(".{0,20}", 1..12), sizes in prop::collection::vec(0_usize..5, 0..4)) {
            let lines = lines(&texts, &sizes);
            prop_assert_eq!(lines.len(), texts.len());
            prop_assert_eq!(first_broken(&lines), None);
        }

        #[test]
        fn a_removed_repeated_or_moved_record_is_found(texts in prop::collection::vec(".{0,20}", 3..12), at: prop::sample::Index) {
            let lines = lines(&texts, &[]);
            let at = at.index(lines.len() - 1);
            let mut removed = lines.clone();
            removed.remove(at);
            prop_assert_eq!(first_broken(&removed), Some(at));
            let mut repeated = lines.clone();
            repeated.insert(at, lines[at].clone());
            prop_assert_eq!(first_broken(&repeated), Some(at + 1));
            let mut moved = lines.clone();
            moved.swap(at, at + 1);
            prop_assert_eq!(first_broken(&moved), Some(at));
        }

        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&octets).is_err());
        }
    }
}
