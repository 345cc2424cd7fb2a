//! 802.15.4 frames in ZEP datagrams over one UDP socket.
//!
//! A frame is answered to the socket it came from. Received datagrams wait in the socket's buffer, whose size the
//! operating system bounds; what does not fit is lost like a frame in the air.

use std::io;

use bytes::Bytes;
use service_kit::clock::Clock;
use tokio::net::UdpSocket;
use wire::radio::frame::{self, FrameError};
use wire::radio::zep::Datagram;

use super::{Radio, Reception};
use crate::effect::{Heard, Origin};
use crate::tally::Refusal;

/// Room for a datagram; larger ones are cut off and then refused.
const DATAGRAM_BYTES_MAX: usize = 512;
/// The channel our datagrams name.
const CHANNEL: u8 = 15;

/// The radio.
#[derive(Debug)]
pub struct Ieee802154Udp {
    socket: UdpSocket,
    clock: Clock,
    sequence: u32,
}

impl Ieee802154Udp {
    /// On a bound socket.
    pub fn new(socket: UdpSocket, clock: Clock) -> Self {
        Ieee802154Udp { socket, clock, sequence: 0 }
    }
}

impl Radio for Ieee802154Udp {
    async fn receive(&mut self) -> io::Result<Reception> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let (bytes, from) = self.socket.recv_from(&mut buffer).await?;
        let payload = Bytes::copy_from_slice(buffer.get(..bytes).unwrap_or_default());
        Ok(read(&payload, Origin::Udp(from)))
    }

    async fn send(&mut self, to: Origin, frame: Bytes) -> io::Result<()> {
        let Origin::Udp(address) = to;
        self.sequence = self.sequence.wrapping_add(1);
        let datagram = Datagram {
            channel: CHANNEL,
            // The quality is the receiver's to measure; a sender says the best.
            lqi: u8::MAX,
            at: self.clock.now(),
            sequence: self.sequence,
            frame,
        };
        self.socket.send_to(&datagram.encode(), address).await.map(|_| ())
    }
}

fn read(payload: &Bytes, origin: Origin) -> Reception {
    let Ok(datagram) = Datagram::decode(payload) else {
        return Reception::Refused(Refusal::Datagram);
    };
    match frame::parse(&datagram.frame) {
        Ok(frame) => Reception::Heard(Heard { origin, lqi: datagram.lqi, frame }),
        Err(FrameError::Checksum) => Reception::Refused(Refusal::Checksum),
        Err(FrameError::Shape | FrameError::Authentication | FrameError::TooLong(_)) => {
            Reception::Refused(Refusal::Shape)
        }
    }
}
