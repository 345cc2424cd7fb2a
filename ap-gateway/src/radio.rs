//! Radios: how frames come from tags and go to them.
//!
//! A trait, because a second bearer is coming: Bluetooth ESL beside 802.15.4.

use std::future::Future;
use std::io;

use bytes::Bytes;

use crate::effect::{Heard, Origin};
use crate::tally::Refusal;

/// 802.15.4 frames in UDP datagrams.
pub mod ieee802154_udp;

/// What a radio received.
#[derive(Clone, Debug, PartialEq)]
pub enum Reception {
    /// A frame.
    Heard(Heard),
    /// Octets that are no frame, and why.
    Refused(Refusal),
}

/// A bearer of frames.
pub trait Radio: Send + 'static {
    /// The next reception. Dropping the future loses nothing.
    fn receive(&mut self) -> impl Future<Output = io::Result<Reception>> + Send;

    /// Sends a frame. What the air loses is lost; the tag asks again.
    fn send(&mut self, to: Origin, frame: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}
