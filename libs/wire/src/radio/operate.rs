//! ● An operation on the air.
//!
//! ```text
//! reference u64 | seconds u16 | kind u8 | what u8 | how u8       integers big-endian
//!                               1 light up   colour   flash      colour: bits 0-1 red, 2-3 green, 4-5 blue
//!                               2 identify   0        0          flash: 0 steady, 1 slow, 2 fast
//!                               3 page flip  page     0          page: 0 identity, 1 information
//! ```
//! The colour is written as the LED commands of Bluetooth's Electronic Shelf Label service write it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::operation::{Action, Colour, Flash, Page, Seconds};

/// Octets of an operation.
pub const OPERATE_BYTES: usize = 13;

const LIGHT_UP: u8 = 1;
const IDENTIFY: u8 = 2;
const PAGE_FLIP: u8 = 3;

/// An operation as a tag hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operate {
    /// What it is called on the air.
    pub reference: u64,
    /// For how long.
    pub seconds: Seconds,
    /// What.
    pub action: Action,
}

impl Operate {
    /// Appends its octets.
    pub(super) fn put(&self, out: &mut BytesMut) {
        let (kind, what, how) = match self.action {
            Action::LightUp { colour, flash } => (LIGHT_UP, colour_octet(colour), flash_octet(flash)),
            Action::Identify => (IDENTIFY, 0, 0),
            Action::PageFlip { page } => (PAGE_FLIP, page_octet(page), 0),
        };
        out.put_u64(self.reference);
        out.put_u16(self.seconds.get());
        out.put_slice(&[kind, what, how]);
    }

    /// From [`OPERATE_BYTES`] octets; `None` when a value is out of range.
    pub(super) fn get(octets: &mut Bytes) -> Option<Operate> {
        let reference = octets.get_u64();
        let seconds = Seconds::try_from(octets.get_u16()).ok()?;
        let (kind, what, how) = (octets.get_u8(), octets.get_u8(), octets.get_u8());
        let action = match (kind, what, how) {
            (LIGHT_UP, _, _) => {
                let colour = COLOURS.into_iter().find(|colour| colour_octet(*colour) == what)?;
                Action::LightUp {
                    colour,
                    flash: FLASHES.into_iter().find(|flash| flash_octet(*flash) == how)?,
                }
            }
            (IDENTIFY, 0, 0) => Action::Identify,
            (PAGE_FLIP, _, 0) => {
                Action::PageFlip { page: PAGES.into_iter().find(|page| page_octet(*page) == what)? }
            }
            _ => return None,
        };
        Some(Operate { reference, seconds, action })
    }
}

const COLOURS: [Colour; 5] = [Colour::Red, Colour::Green, Colour::Blue, Colour::Yellow, Colour::White];
const FLASHES: [Flash; 3] = [Flash::Steady, Flash::Slow, Flash::Fast];
const PAGES: [Page; 2] = [Page::Identity, Page::Information];

fn colour_octet(colour: Colour) -> u8 {
    match colour {
        Colour::Red => 0b00_00_11,
        Colour::Green => 0b00_11_00,
        Colour::Blue => 0b11_00_00,
        Colour::Yellow => 0b00_11_11,
        Colour::White => 0b11_11_11,
    }
}

fn flash_octet(flash: Flash) -> u8 {
    match flash {
        Flash::Steady => 0,
        Flash::Slow => 1,
        Flash::Fast => 2,
    }
}

fn page_octet(page: Page) -> u8 {
    match page {
        Page::Identity => 0,
        Page::Information => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn octets(action: Action) -> String {
        let seconds = Seconds::try_from(10).unwrap();
        let operate = Operate { reference: 0x0102_0304_0506_0708, seconds, action };
        let mut out = BytesMut::new();
        operate.put(&mut out);
        assert_eq!(out.len(), OPERATE_BYTES);
        assert_eq!(Operate::get(&mut out.clone().freeze()), Some(operate));
        hex::encode(out)
    }

    #[test]
    fn every_octet_of_an_operation() {
        let blue = Action::LightUp { colour: Colour::Blue, flash: Flash::Fast };
        assert_eq!(octets(blue), "0102030405060708000a013002");
        assert_eq!(octets(Action::Identify), "0102030405060708000a020000");
        assert_eq!(octets(Action::PageFlip { page: Page::Information }), "0102030405060708000a030100");
        for (colour, flash) in COLOURS.into_iter().flat_map(|colour| FLASHES.map(|flash| (colour, flash))) {
            octets(Action::LightUp { colour, flash });
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for bad in [
            "01020304050607080000020000", // 0 seconds
            "0102030405060708012d020000", // 301 seconds
            "0102030405060708000a010200", // a colour that is none
            "0102030405060708000a010303", // a rhythm that is none
            "0102030405060708000a020100", // identify has no colour
            "0102030405060708000a030200", // a page that is none
            "0102030405060708000a040000", // a kind that is none
        ] {
            let mut octets = Bytes::from(hex::decode(bad).unwrap());
            assert_eq!(Operate::get(&mut octets), None, "{bad}");
        }
    }
}
