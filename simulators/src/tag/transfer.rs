//! ● A face on its way to a tag, part by part.
//!
//! The tag asks for a window: the lowest part it lacks and up to 31 after it. Parts come in any order and more than
//! once.

use bytes::{Bytes, BytesMut};
use wire::face::FaceHash;
use wire::radio::payload::{Encoding, PART_BYTES, TagMessage, WINDOW_PARTS};

/// What an access point offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: u64,
    /// Its name.
    pub face: FaceHash,
    /// Octets on the air.
    pub bytes: u32,
    /// How they are packed.
    pub encoding: Encoding,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was lacking.
    New,
    /// It was there already.
    Known,
    /// No such part, or not of its size.
    Unfit,
}

/// An offered face as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    offer: Offer,
    parts: Vec<Option<Bytes>>,
}

impl Transfer {
    /// Nothing has come yet.
    pub fn new(offer: Offer) -> Self {
        let bytes = usize::try_from(offer.bytes).unwrap_or(0);
        Transfer { offer, parts: vec![None; bytes.div_ceil(PART_BYTES)] }
    }

    /// What was offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// Keeps a part.
    pub fn take(&mut self, part: u16, octets: Bytes) -> Taken {
        let fits = octets.len() == self.bytes_of(part);
        match self.parts.get_mut(usize::from(part)) {
            Some(place @ None) if fits => {
                *place = Some(octets);
                Taken::New
            }
            Some(Some(_)) if fits => Taken::Known,
            Some(_) | None => Taken::Unfit,
        }
    }

    fn bytes_of(&self, part: u16) -> usize {
        let before = usize::from(part) * PART_BYTES;
        usize::try_from(self.offer.bytes).unwrap_or(0).saturating_sub(before).min(PART_BYTES)
    }

    /// The lowest part that is lacking.
    pub fn first_lacking(&self) -> Option<u16> {
        let at = self.parts.iter().position(Option::is_none)?;
        u16::try_from(at).ok()
    }

    /// Asks for the window of parts that begins with `first`.
    pub fn request(&self, first: u16) -> TagMessage {
        let window = self.parts.iter().skip(usize::from(first)).take(usize::from(WINDOW_PARTS));
        let wanted =
            window.enumerate().filter(|(_, part)| part.is_none()).fold(0, |bits, (bit, _)| bits | 1 << bit);
        TagMessage::PartRequest { version: self.offer.version, first, wanted }
    }

    /// Whether the window that begins with `first` has come.
    pub fn has_window(&self, first: u16) -> bool {
        let window = self.parts.iter().skip(usize::from(first)).take(usize::from(WINDOW_PARTS));
        window.into_iter().all(Option::is_some)
    }

    /// All octets, once nothing is lacking.
    pub fn octets(&self) -> Option<Bytes> {
        let mut all = BytesMut::with_capacity(usize::try_from(self.offer.bytes).unwrap_or(0));
        for part in &self.parts {
            all.extend_from_slice(part.as_ref()?);
        }
        Some(all.freeze())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offer(bytes: u32) -> Offer {
        Offer { version: 1, face: FaceHash::of(b""), bytes, encoding: Encoding::Raw }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_is_asked_for_and_lost_the_whole_comes_together(octets in prop::collection::vec(any::<u8>(), 1..8000), losses in prop::collection::vec(any::<u32>(), 0..20)) {
            let mut transfer = Transfer::new(offer(u32::try_from(octets.len()).unwrap()));
            let pieces: Vec<Bytes> = octets.chunks(PART_BYTES).map(Bytes::copy_from_slice).collect();
            let mut losses = losses.into_iter().chain(std::iter::repeat(0));
            while let Some(first) = transfer.first_lacking() {
                let TagMessage::PartRequest { first, wanted, .. } = transfer.request(first) else { panic!() };
                prop_assert!(wanted & 1 == 1);
                let coming = wanted & !losses.next().unwrap();
                for bit in (0..WINDOW_PARTS).filter(|bit| coming & (1 << bit) != 0) {
                    let part = first + bit;
                    prop_assert_eq!(transfer.take(part, pieces[usize::from(part)].clone()), Taken::New);
                    prop_assert_eq!(transfer.take(part, pieces[usize::from(part)].clone()), Taken::Known);
                }
                prop_assert_eq!(transfer.has_window(first), coming == wanted);
            }
            prop_assert_eq!(transfer.octets().unwrap(), Bytes::from(octets));
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let mut transfer = Transfer::new(offer(90));
        let part = |bytes: usize| Bytes::from(vec![0; bytes]);
        assert_eq!(transfer.take(0, part(79)), Taken::Unfit);
        assert_eq!(transfer.take(1, part(80)), Taken::Unfit);
        assert_eq!(transfer.take(2, part(80)), Taken::Unfit);
        assert_eq!(transfer.take(1, part(10)), Taken::New);
        assert_eq!(transfer.octets(), None);
        assert_eq!(transfer.take(0, part(80)), Taken::New);
        assert_eq!(transfer.octets().unwrap().len(), 90);
    }
}
