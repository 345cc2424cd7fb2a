//! ● Octets on their way to one socket.
//!
//! Small packets are copied behind one another, so that many leave in one write; a large payload is a chunk of its
//! own and is never copied. The owner bounds it: it asks [`Outbox::is_full`] before it puts a message in.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use crate::codec::publish::OutgoingPublish;
use crate::dialect::{Dialect, TooLarge};
use crate::message::Message;

/// Octets that may wait for one socket before messages are held back or dropped.
pub const OUTBOX_BYTES_MAX: usize = 1024 * 1024;
/// Octets from which what the client sends is not read: its answers would be more of them. Above the bound of messages, so
/// that who reads them slowly can acknowledge them.
pub const READING_BYTES_MAX: usize = OUTBOX_BYTES_MAX + 64 * 1024;
/// From this size on a payload is not copied.
const CHUNK_BYTES_MIN: usize = 4096;
/// An idle outbox gives its buffer back above this size.
const KEPT_BYTES_MAX: usize = 4096;
/// Slices of one vectored write.
pub const SLICES_MAX: usize = 16;

/// A queue of octets.
#[derive(Debug, Default)]
pub struct Outbox {
    chunks: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
    /// How whoever reads them is spoken to.
    pub dialect: Dialect,
}

impl Outbox {
    /// Empty, for a connection that speaks so.
    pub fn new(dialect: Dialect) -> Self {
        Outbox { dialect, ..Outbox::default() }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// How many octets wait.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether messages must wait or be dropped.
    pub fn is_full(&self) -> bool {
        self.bytes >= OUTBOX_BYTES_MAX
    }

    /// Appends a small packet.
    pub fn put(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
        self.bytes += octets.len();
    }

    /// Appends a PUBLISH, unless the client cannot take one so large.
    pub fn put_publish(&mut self, how: &OutgoingPublish<'_>, message: &Message) -> Result<(), TooLarge> {
        let before = self.tail.len();
        self.dialect.put_head(&mut self.tail, how, message)?;
        self.bytes += self.tail.len() - before;
        let payload = message.payload();
        self.bytes += payload.len();
        if payload.len() < CHUNK_BYTES_MIN {
            self.tail.extend_from_slice(payload);
        } else {
            self.chunks.push_back(self.tail.split().freeze());
            self.chunks.push_back(message.payload_shared());
        }
        Ok(())
    }

    /// What to write next: at most [`SLICES_MAX`] slices.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES_MAX]) -> usize {
        let mut count = 0;
        let octets = self.chunks.iter().map(|chunk| &chunk[..]).chain([&self.tail[..]]);
        for (slot, octets) in slices.iter_mut().zip(octets.filter(|octets| !octets.is_empty())) {
            *slot = IoSlice::new(octets);
            count += 1;
        }
        count
    }

    /// Forgets the first `written` octets.
    pub fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(chunk) = self.chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                return;
            }
            written -= chunk.len();
            self.chunks.pop_front();
        }
        self.tail.advance(written);
        if self.bytes == 0 {
            if self.tail.capacity() > KEPT_BYTES_MAX {
                self.tail = BytesMut::new();
            } else {
                self.tail.clear();
            }
        }
    }

    /// Takes everything, for a transport that wants whole frames.
    pub fn take(&mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.bytes);
        if self.chunks.is_empty() {
            return self.tail.split().freeze();
        }
        let mut all = BytesMut::with_capacity(bytes);
        for chunk in self.chunks.drain(..) {
            all.extend_from_slice(&chunk);
        }
        all.extend_from_slice(&self.tail.split());
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::Timestamp;

    use super::*;
    use crate::message::Qos;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_however_it_is_written(sizes in prop::collection::vec(0_usize..9000, 1..12), steps in prop::collection::vec(1_usize..7000, 1..30)) {
            let (mut piecewise, mut whole) = (Outbox::default(), Outbox::default());
            for (id, size) in (1_u16..).zip(&sizes) {
                let message = Message::new("a/b", &vec![7; *size], Qos::AtLeastOnce, Timestamp::EPOCH);
                let (qos, now) = (Qos::AtLeastOnce, Timestamp::EPOCH);
                let how = OutgoingPublish { qos, packet_id: id, dup: false, retain: false, subscription_ids: &[], now };
                piecewise.put_publish(&how, &message).unwrap();
                whole.put_publish(&how, &message).unwrap();
            }
            let expected = whole.take();
            prop_assert!(whole.is_empty());
            let mut written = Vec::new();
            for step in steps.iter().cycle() {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let count = piecewise.slices(&mut slices);
                let available: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                if available.is_empty() {
                    break;
                }
                let step = (*step).min(available.len());
                written.extend_from_slice(&available[..step]);
                piecewise.advance(step);
            }
            prop_assert!(piecewise.is_empty());
            prop_assert_eq!(&written[..], &expected[..]);
        }
    }
}
