//! ● Face files from the parts they travel in.
//!
//! ```text
//! (none) ──first part──▶ open ──last missing part, hash right──▶ whole file
//!                         └──part that does not fit · hash wrong · too many open, oldest first──▶ (none)
//! ```
//! Nothing of this is stored: after a restart the face is asked for again.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use wire::face::{FaceHash, FacePart, PART_BYTES_MAX};

use crate::face_needs::UNDER_WAY_MAX;
use crate::tally::Ignored;

#[derive(Clone, Debug)]
struct Assembly {
    hash: FaceHash,
    parts: u16,
    total: usize,
    came: BTreeMap<u16, Bytes>,
}

/// The files under way, oldest first; at most as many as are asked for at once.
#[derive(Clone, Debug, Default)]
pub struct FaceAssembly {
    open: Vec<Assembly>,
}

impl FaceAssembly {
    /// Takes a part; with the last one, the file.
    pub fn receive(&mut self, part: FacePart) -> Result<Option<Bytes>, Ignored> {
        let mut assembly = self.take(&part)?;
        assembly.came.insert(part.part, part.octets);
        if assembly.came.len() < usize::from(assembly.parts) {
            if self.open.len() >= UNDER_WAY_MAX {
                self.open.remove(0);
            }
            self.open.push(assembly);
            return Ok(None);
        }
        let mut file = BytesMut::with_capacity(assembly.total);
        assembly.came.values().for_each(|octets| file.extend_from_slice(octets));
        if FaceHash::of(&file) != assembly.hash {
            return Err(Ignored::FaceDamaged);
        }
        Ok(Some(file.freeze()))
    }

    /// The file that `part` belongs to, new or under way; a part that does not fit ends it.
    fn take(&mut self, part: &FacePart) -> Result<Assembly, Ignored> {
        let total = usize::try_from(part.total).map_err(|_| Ignored::FacePart)?;
        let known = self.open.iter().position(|open| open.hash == part.hash);
        let assembly = match known {
            Some(at) => self.open.remove(at),
            None => Assembly { hash: part.hash, parts: part.parts, total, came: BTreeMap::new() },
        };
        let fits = assembly.total == total
            && assembly.parts == part.parts
            && usize::from(part.parts) == total.div_ceil(PART_BYTES_MAX);
        if fits { Ok(assembly) } else { Err(Ignored::FacePart) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: usize) -> (Bytes, Vec<FacePart>) {
        let file: Bytes = (0..=250_u8).cycle().take(bytes).collect::<Vec<u8>>().into();
        (file.clone(), FacePart::split(&file))
    }

    #[test]
    fn parts_in_any_order_and_twice_make_the_file() {
        let (file, parts) = parts(2 * PART_BYTES_MAX + 5);
        let mut assembly = FaceAssembly::default();
        assert_eq!(assembly.receive(parts[2].clone()), Ok(None));
        assert_eq!(assembly.receive(parts[0].clone()), Ok(None));
        assert_eq!(assembly.receive(parts[0].clone()), Ok(None));
        assert_eq!(assembly.receive(parts[1].clone()), Ok(Some(file)));
        assert!(assembly.open.is_empty());
    }

    #[test]
    fn damage_is_noticed_and_the_next_attempt_starts_clean() {
        let (file, parts) = parts(PART_BYTES_MAX + 5);
        let mut assembly = FaceAssembly::default();
        let mut damaged = parts[1].clone();
        damaged.octets = Bytes::from_static(b"wrong");
        assert_eq!(assembly.receive(parts[0].clone()), Ok(None));
        assert_eq!(assembly.receive(damaged), Err(Ignored::FaceDamaged));
        let mut misfit = parts[1].clone();
        misfit.total += 1;
        assert_eq!(assembly.receive(parts[0].clone()), Ok(None));
        assert_eq!(assembly.receive(misfit), Err(Ignored::FacePart));
        assert_eq!(assembly.receive(parts[1].clone()), Ok(None));
        assert_eq!(assembly.receive(parts[0].clone()), Ok(Some(file)));
    }

    #[test]
    fn only_so_many_are_open_at_once() {
        let mut assembly = FaceAssembly::default();
        for bytes in 1..=UNDER_WAY_MAX + 4 {
            let (_, parts) = parts(PART_BYTES_MAX + bytes);
            assert_eq!(assembly.receive(parts[0].clone()), Ok(None));
        }
        assert_eq!(assembly.open.len(), UNDER_WAY_MAX);
    }
}
