//! An access point for tests: it wants every tag to show one version, and answers what it is asked.

use bytes::Bytes;
use wire::Timestamp;
use wire::face::{Face, FaceHash};
use wire::radio::frame::{self, FrameError, Header};
use wire::radio::payload::{ApMessage, Encoding, PART_BYTES, TagMessage};
use wire::radio::zep::Datagram;
use wire::tag::RadioKey;

const ADDRESS: u64 = 0xA9;

pub struct FakeAccessPoint {
    key: RadioKey,
    pub version: u64,
    pub bad_checksums: u32,
    counter: u32,
}

/// The picture of a version.
pub fn picture(version: u64) -> Face {
    Face::from_pixels(296, 128, |x, y| u64::from(x / 8 + y / 8) % (version + 2) == 0).unwrap()
}

impl FakeAccessPoint {
    pub fn new(key: RadioKey, version: u64) -> Self {
        FakeAccessPoint { key, version, bad_checksums: 0, counter: 0 }
    }

    pub fn answer(&mut self, datagram: &Bytes, now: Timestamp) -> Vec<Bytes> {
        let parsed = Datagram::decode(datagram).ok().map(|datagram| frame::parse(&datagram.frame));
        let sealed = match parsed {
            Some(Ok(sealed)) => sealed,
            Some(Err(FrameError::Checksum)) => {
                self.bad_checksums += 1;
                return vec![];
            }
            Some(Err(_)) | None => return vec![],
        };
        let message = TagMessage::decode(&sealed.open(&self.key).unwrap()).unwrap();
        let replies = self.replies(&message);
        replies.iter().map(|reply| self.seal(sealed.header.source, reply, now)).collect()
    }

    fn replies(&self, message: &TagMessage) -> Vec<ApMessage> {
        let file = picture(self.version).to_file();
        match *message {
            TagMessage::CheckIn { shown, .. } if shown < self.version => vec![ApMessage::Offer {
                version: self.version,
                face: FaceHash::of(&file),
                bytes: u32::try_from(file.len()).unwrap(),
                encoding: Encoding::Raw,
            }],
            TagMessage::CheckIn { .. } => vec![ApMessage::Idle { sleep_ms: 1000 }],
            TagMessage::PartRequest { version, first, wanted } if version == self.version => {
                let piece = |part: u16| {
                    let from = usize::from(part) * PART_BYTES;
                    let octets = file.slice(from..(from + PART_BYTES).min(file.len()));
                    ApMessage::Part { version, part, octets }
                };
                (0..32).filter(|bit| wanted & (1 << bit) != 0).map(|bit| piece(first + bit)).collect()
            }
            TagMessage::PartRequest { .. } => vec![ApMessage::Idle { sleep_ms: 100 }],
            TagMessage::Operated { reference, .. } => {
                vec![ApMessage::OperatedAck { reference, sleep_ms: 1000 }]
            }
            TagMessage::Confirm { version, .. } => {
                vec![ApMessage::ConfirmAck { version, sleep_ms: 1000 }]
            }
        }
    }

    fn seal(&mut self, tag: u64, message: &ApMessage, now: Timestamp) -> Bytes {
        self.counter += 1;
        let header = Header { sequence: 0, destination: tag, source: ADDRESS, counter: self.counter };
        let frame = frame::seal(&header, &self.key, &message.encode()).unwrap();
        Datagram { channel: 15, lqi: 255, at: now, sequence: self.counter, frame }.encode()
    }
}
