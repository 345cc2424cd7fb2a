//! ● What is said inside a frame.
//!
//! ```text
//! tag ──CheckIn────▶ AP      I woke; I show this
//! tag ◀─Idle───────  AP      nothing new, sleep so long
//! tag ◀─Offer──────  AP      there is a newer face: version, hash, size
//! tag ──PartRequest▶ AP      send me these parts (a window of 32)
//! tag ◀─Part─────── …AP      one frame per part
//! tag ──Confirm────▶ AP      it is on the screen: version, hash
//! tag ◀─ConfirmAck─  AP      heard; sleep so long
//!
//! tag ◀─Operate────  AP      instead of Idle: do this for some seconds
//! tag ──Operated───▶ AP      it is under way, or cannot be
//! tag ◀─OperatedAck  AP      heard; sleep so long
//! ```
//! The first octet names the message. Integers are big-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::face::FaceHash;
use crate::radio::frame::PAYLOAD_BYTES_MAX;
use crate::radio::operate::{OPERATE_BYTES, Operate};

/// Octets of a face in one part.
pub const PART_BYTES: usize = 80;
/// Parts asked for at once.
pub const WINDOW_PARTS: u16 = 32;
/// Largest encoded face on the air: what 65,535 parts carry is far above; this bounds a tag's memory.
pub const ENCODED_FACE_BYTES_MAX: usize = 64 * 1024;

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// An unknown first octet.
    #[error("message kind {0:#04x} is unknown")]
    Kind(u8),
    /// Too few or too many octets for its kind.
    #[error("message of kind {0:#04x} has the wrong length")]
    Length(u8),
    /// A value out of range.
    #[error("message of kind {0:#04x} has a value out of range")]
    Value(u8),
    /// Nothing.
    #[error("message is empty")]
    Empty,
}

/// Why a tag woke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Its timer.
    Timer,
    /// It has just been switched on, and shows nothing.
    PowerOn,
    /// Somebody pressed its button.
    Button,
}

/// How a face is packed on the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The face file as it is.
    Raw,
    /// The face file as a zlib stream (RFC 1950).
    Zlib,
}

/// How drawing went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawn {
    /// On the screen.
    Shown,
    /// The screen does not answer.
    ScreenBroken,
    /// The face has another size than the screen.
    FaceUnfit,
}

/// How an operation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way: the LED is lit, the page is on the screen.
    Done,
    /// The tag has no LED.
    NoLed,
    /// The screen does not answer.
    ScreenBroken,
}

/// What a tag says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagMessage {
    /// I woke.
    CheckIn {
        /// The version on the screen; 0 when none.
        shown: u64,
        /// The face on the screen; zeros when none.
        face: FaceHash,
        /// Battery, in millivolts.
        battery_mv: u16,
        /// Degrees Celsius.
        temperature_c: i8,
        /// Why.
        wake: Wake,
    },
    /// Send me parts of the offered face.
    PartRequest {
        /// The offered version.
        version: u64,
        /// The part that bit 0 of `wanted` stands for.
        first: u16,
        /// Bit `i` asks for part `first + i`.
        wanted: u32,
    },
    /// It is drawn, or cannot be.
    Confirm {
        /// The version.
        version: u64,
        /// The face.
        face: FaceHash,
        /// Battery after drawing, in millivolts.
        battery_mv: u16,
        /// How it went.
        drawn: Drawn,
    },
    /// An operation is under way, or cannot be.
    Operated {
        /// What it is called on the air.
        reference: u64,
        /// How it went.
        outcome: Outcome,
    },
}

/// What an access point says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApMessage {
    /// Nothing new.
    Idle {
        /// How long to sleep.
        sleep_ms: u32,
    },
    /// A newer face.
    Offer {
        /// Its version.
        version: u64,
        /// Its name.
        face: FaceHash,
        /// Octets on the air.
        bytes: u32,
        /// How they are packed.
        encoding: Encoding,
    },
    /// A piece of the offered face.
    Part {
        /// Its version.
        version: u64,
        /// Which piece, from 0.
        part: u16,
        /// 1 to [`PART_BYTES`].
        octets: Bytes,
    },
    /// The face is not at hand yet; ask again after this.
    Wait {
        /// How long to sleep.
        sleep_ms: u32,
    },
    /// The confirmation arrived.
    ConfirmAck {
        /// Of which version.
        version: u64,
        /// How long to sleep.
        sleep_ms: u32,
    },
    /// Do this.
    Operate(Operate),
    /// What was said of the operation arrived.
    OperatedAck {
        /// Of which operation.
        reference: u64,
        /// How long to sleep.
        sleep_ms: u32,
    },
}

const CHECK_IN: u8 = 0x01;
const PART_REQUEST: u8 = 0x02;
const CONFIRM: u8 = 0x03;
const OPERATED: u8 = 0x04;
const IDLE: u8 = 0x81;
const OFFER: u8 = 0x82;
const PART: u8 = 0x83;
const WAIT: u8 = 0x84;
const CONFIRM_ACK: u8 = 0x85;
const OPERATE: u8 = 0x86;
const OPERATED_ACK: u8 = 0x87;

impl TagMessage {
    /// As the payload of a frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(PAYLOAD_BYTES_MAX);
        match self {
            TagMessage::CheckIn { shown, face, battery_mv, temperature_c, wake } => {
                out.put_u8(CHECK_IN);
                out.put_u64(*shown);
                out.put_slice(face.as_octets());
                out.put_u16(*battery_mv);
                out.put_i8(*temperature_c);
                out.put_u8(match wake {
                    Wake::Timer => 0,
                    Wake::PowerOn => 1,
                    Wake::Button => 2,
                });
            }
            TagMessage::PartRequest { version, first, wanted } => {
                out.put_u8(PART_REQUEST);
                out.put_u64(*version);
                out.put_u16(*first);
                out.put_u32(*wanted);
            }
            TagMessage::Confirm { version, face, battery_mv, drawn } => {
                out.put_u8(CONFIRM);
                out.put_u64(*version);
                out.put_slice(face.as_octets());
                out.put_u16(*battery_mv);
                out.put_u8(match drawn {
                    Drawn::Shown => 0,
                    Drawn::ScreenBroken => 1,
                    Drawn::FaceUnfit => 2,
                });
            }
            TagMessage::Operated { reference, outcome } => {
                out.put_u8(OPERATED);
                out.put_u64(*reference);
                out.put_u8(match outcome {
                    Outcome::Done => 0,
                    Outcome::NoLed => 1,
                    Outcome::ScreenBroken => 2,
                });
            }
        }
        out.freeze()
    }

    /// From the payload of a frame.
    pub fn decode(payload: &Bytes) -> Result<Self, PayloadError> {
        let (kind, mut octets) = split_kind(payload)?;
        let expect =
            |bytes: usize| if octets.len() == bytes { Ok(()) } else { Err(PayloadError::Length(kind)) };
        match kind {
            CHECK_IN => {
                expect(44)?;
                Ok(TagMessage::CheckIn {
                    shown: octets.get_u64(),
                    face: get_hash(&mut octets),
                    battery_mv: octets.get_u16(),
                    temperature_c: octets.get_i8(),
                    wake: match octets.get_u8() {
                        0 => Wake::Timer,
                        1 => Wake::PowerOn,
                        2 => Wake::Button,
                        _ => return Err(PayloadError::Value(kind)),
                    },
                })
            }
            PART_REQUEST => {
                expect(14)?;
                let (version, first, wanted) = (octets.get_u64(), octets.get_u16(), octets.get_u32());
                Ok(TagMessage::PartRequest { version, first, wanted })
            }
            CONFIRM => {
                expect(43)?;
                Ok(TagMessage::Confirm {
                    version: octets.get_u64(),
                    face: get_hash(&mut octets),
                    battery_mv: octets.get_u16(),
                    drawn: match octets.get_u8() {
                        0 => Drawn::Shown,
                        1 => Drawn::ScreenBroken,
                        2 => Drawn::FaceUnfit,
                        _ => return Err(PayloadError::Value(kind)),
                    },
                })
            }
            OPERATED => {
                expect(9)?;
                let reference = octets.get_u64();
                let outcome = match octets.get_u8() {
                    0 => Outcome::Done,
                    1 => Outcome::NoLed,
                    2 => Outcome::ScreenBroken,
                    _ => return Err(PayloadError::Value(kind)),
                };
                Ok(TagMessage::Operated { reference, outcome })
            }
            _ => Err(PayloadError::Kind(kind)),
        }
    }
}

impl ApMessage {
    /// As the payload of a frame.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(PAYLOAD_BYTES_MAX);
        match self {
            ApMessage::Idle { sleep_ms } => {
                out.put_u8(IDLE);
                out.put_u32(*sleep_ms);
            }
            ApMessage::Offer { version, face, bytes, encoding } => {
                out.put_u8(OFFER);
                out.put_u64(*version);
                out.put_slice(face.as_octets());
                out.put_u32(*bytes);
                out.put_u8(match encoding {
                    Encoding::Raw => 0,
                    Encoding::Zlib => 1,
                });
            }
            ApMessage::Part { version, part, octets } => {
                out.put_u8(PART);
                out.put_u64(*version);
                out.put_u16(*part);
                out.put_slice(octets);
            }
            ApMessage::Wait { sleep_ms } => {
                out.put_u8(WAIT);
                out.put_u32(*sleep_ms);
            }
            ApMessage::ConfirmAck { version, sleep_ms } => {
                out.put_u8(CONFIRM_ACK);
                out.put_u64(*version);
                out.put_u32(*sleep_ms);
            }
            ApMessage::Operate(operate) => {
                out.put_u8(OPERATE);
                operate.put(&mut out);
            }
            ApMessage::OperatedAck { reference, sleep_ms } => {
                out.put_u8(OPERATED_ACK);
                out.put_u64(*reference);
                out.put_u32(*sleep_ms);
            }
        }
        out.freeze()
    }

    /// From the payload of a frame.
    pub fn decode(payload: &Bytes) -> Result<Self, PayloadError> {
        let (kind, mut octets) = split_kind(payload)?;
        let expect =
            |bytes: usize| if octets.len() == bytes { Ok(()) } else { Err(PayloadError::Length(kind)) };
        match kind {
            IDLE | WAIT => {
                expect(4)?;
                let sleep_ms = octets.get_u32();
                Ok(if kind == IDLE { ApMessage::Idle { sleep_ms } } else { ApMessage::Wait { sleep_ms } })
            }
            OFFER => {
                expect(45)?;
                let (version, face, bytes) = (octets.get_u64(), get_hash(&mut octets), octets.get_u32());
                let encoding = match octets.get_u8() {
                    0 => Encoding::Raw,
                    1 => Encoding::Zlib,
                    _ => return Err(PayloadError::Value(kind)),
                };
                let bytes_fit =
                    (1..=ENCODED_FACE_BYTES_MAX).contains(&usize::try_from(bytes).unwrap_or(usize::MAX));
                if !bytes_fit {
                    return Err(PayloadError::Value(kind));
                }
                Ok(ApMessage::Offer { version, face, bytes, encoding })
            }
            PART => {
                let has_octets = octets.len() > 10 && octets.len() <= 10 + PART_BYTES;
                if !has_octets {
                    return Err(PayloadError::Length(kind));
                }
                let (version, part) = (octets.get_u64(), octets.get_u16());
                Ok(ApMessage::Part { version, part, octets })
            }
            CONFIRM_ACK => {
                expect(12)?;
                Ok(ApMessage::ConfirmAck { version: octets.get_u64(), sleep_ms: octets.get_u32() })
            }
            OPERATE => {
                expect(OPERATE_BYTES)?;
                Operate::get(&mut octets).map(ApMessage::Operate).ok_or(PayloadError::Value(kind))
            }
            OPERATED_ACK => {
                expect(12)?;
                Ok(ApMessage::OperatedAck { reference: octets.get_u64(), sleep_ms: octets.get_u32() })
            }
            _ => Err(PayloadError::Kind(kind)),
        }
    }
}

fn split_kind(payload: &Bytes) -> Result<(u8, Bytes), PayloadError> {
    let mut octets = payload.clone();
    if octets.is_empty() {
        return Err(PayloadError::Empty);
    }
    let kind = octets.get_u8();
    Ok((kind, octets))
}

fn get_hash(octets: &mut Bytes) -> FaceHash {
    let mut hash = [0; 32];
    octets.copy_to_slice(&mut hash);
    FaceHash::from_octets(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operation::{Action, Seconds};

    #[test]
    fn octets_of_an_operation_and_its_answer() {
        let operate = Operate {
            reference: 0x0102_0304_0506_0708,
            seconds: Seconds::try_from(10).unwrap(),
            action: Action::Identify,
        };
        assert_eq!(hex::encode(ApMessage::Operate(operate).encode()), "860102030405060708000a020000");
        let operated = TagMessage::Operated { reference: 7, outcome: Outcome::NoLed };
        assert_eq!(hex::encode(operated.encode()), "04000000000000000701");
        let ack = ApMessage::OperatedAck { reference: 7, sleep_ms: 1000 };
        assert_eq!(hex::encode(ack.encode()), "870000000000000007000003e8");
        let bad = |octets: &str| Bytes::from(hex::decode(octets).unwrap());
        assert_eq!(TagMessage::decode(&bad("04000000000000000703")), Err(PayloadError::Value(0x04)));
        assert_eq!(TagMessage::decode(&bad("0400000000000000")), Err(PayloadError::Length(0x04)));
        assert_eq!(ApMessage::decode(&bad("860102030405060708000a040000")), Err(PayloadError::Value(0x86)));
        assert_eq!(ApMessage::decode(&bad("860102")), Err(PayloadError::Length(0x86)));
    }

    #[test]
    fn every_message_reads_back_and_fits_a_frame() {
        let face = FaceHash::of(b"face");
        let from_tag = [
            TagMessage::CheckIn { shown: 7, face, battery_mv: 3000, temperature_c: -5, wake: Wake::Button },
            TagMessage::PartRequest { version: 8, first: 32, wanted: 0xF0F0_0001 },
            TagMessage::Confirm { version: 8, face, battery_mv: 2990, drawn: Drawn::Shown },
            TagMessage::Operated { reference: u64::MAX, outcome: Outcome::ScreenBroken },
        ];
        for message in from_tag {
            assert!(message.encode().len() <= PAYLOAD_BYTES_MAX);
            assert_eq!(TagMessage::decode(&message.encode()).unwrap(), message);
        }
        let from_ap = [
            ApMessage::Idle { sleep_ms: 40_000 },
            ApMessage::Offer { version: 8, face, bytes: 792, encoding: Encoding::Zlib },
            ApMessage::Part { version: 8, part: 9, octets: Bytes::from_static(&[1; PART_BYTES]) },
            ApMessage::Wait { sleep_ms: 500 },
            ApMessage::ConfirmAck { version: 8, sleep_ms: 40_000 },
            ApMessage::Operate(Operate {
                reference: 9,
                seconds: Seconds::try_from(300).unwrap(),
                action: Action::Identify,
            }),
            ApMessage::OperatedAck { reference: 9, sleep_ms: 40_000 },
        ];
        for message in from_ap {
            assert!(message.encode().len() <= PAYLOAD_BYTES_MAX);
            assert_eq!(ApMessage::decode(&message.encode()).unwrap(), message);
        }
    }

    proptest! {
        #[test]
        fn any_octets_get_an_answer(octets in prop::collection::vec(any::<u8>(), 0..100)) {
            let octets = Bytes::from(octets);
            let _ = TagMessage::decode(&octets);
            let _ = ApMessage::decode(&octets);
        }
    }
}
