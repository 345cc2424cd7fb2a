//! A tag that writes its octets by hand, so that the frame formats are tested and not only the code that makes them.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::UdpSocket;
use wire::face::FaceHash;
use wire::radio::frame::{self, ANY_ACCESS_POINT, Header};
use wire::radio::payload::ApMessage;
use wire::tag::RadioKey;

use crate::harness::{PATIENCE, key};

/// Octets of the ZEP header.
const ZEP_BYTES: usize = 32;

pub struct TestTag {
    pub id: u64,
    pub key: RadioKey,
    pub counter: u32,
    /// The counters of the frames it heard.
    pub heard: Vec<u32>,
    socket: UdpSocket,
    access_point: SocketAddr,
}

impl TestTag {
    pub async fn new(id: u64, access_point: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        TestTag { id, key: key(id), counter: 0, heard: vec![], socket, access_point }
    }

    /// The next frame with this payload, as a datagram.
    pub fn datagram(&mut self, payload: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let header =
            Header { sequence: 0, destination: ANY_ACCESS_POINT, source: self.id, counter: self.counter };
        let frame = frame::seal(&header, &self.key, payload).unwrap();
        let mut datagram = b"EX\x02\x01\x0f\x00\x00\x01".to_vec();
        datagram.push(180); // link quality
        datagram.extend([0; 8]); // time
        datagram.extend(self.counter.to_be_bytes());
        datagram.extend([0; 10]);
        datagram.push(u8::try_from(frame.len()).unwrap());
        datagram.extend(&frame);
        datagram
    }

    pub async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.access_point).await.unwrap();
    }

    /// The next message of the access point.
    pub async fn hear(&mut self) -> ApMessage {
        let mut buffer = [0; 512];
        let (bytes, _) = tokio::time::timeout(PATIENCE, self.socket.recv_from(&mut buffer))
            .await
            .expect("no answer")
            .unwrap();
        assert_eq!(buffer[..4], *b"EX\x02\x01");
        assert_eq!(usize::from(buffer[ZEP_BYTES - 1]), bytes - ZEP_BYTES);
        let sealed = frame::parse(&Bytes::copy_from_slice(&buffer[ZEP_BYTES..bytes])).unwrap();
        assert_eq!(sealed.header.destination, self.id);
        self.heard.push(sealed.header.counter);
        ApMessage::decode(&sealed.open(&self.key).unwrap()).unwrap()
    }

    pub async fn ask(&mut self, payload: &[u8]) -> ApMessage {
        let datagram = self.datagram(payload);
        self.send(&datagram).await;
        self.hear().await
    }

    pub async fn check_in(&mut self, shown: u64, face: Option<FaceHash>) -> ApMessage {
        self.ask(&check_in(shown, face)).await
    }

    pub async fn confirm(&mut self, version: u64, face: FaceHash) -> ApMessage {
        self.ask(&confirm(version, face)).await
    }

    /// All parts of an offered face, window by window.
    pub async fn fetch(&mut self, version: u64, bytes: u32) -> Vec<u8> {
        let parts = u16::try_from(bytes.div_ceil(80)).unwrap();
        let mut octets = Vec::new();
        for first in (0..parts).step_by(32) {
            let count = (parts - first).min(32);
            let datagram = self.datagram(&part_request(version, first, u32::MAX >> (32 - count)));
            self.send(&datagram).await;
            for expected in first..first + count {
                let ApMessage::Part { part, octets: piece, .. } = self.hear().await else {
                    panic!("no part")
                };
                assert_eq!(part, expected);
                octets.extend(piece);
            }
        }
        assert_eq!(octets.len(), usize::try_from(bytes).unwrap());
        octets
    }
}

/// kind | shown u64 | face 32 | battery u16 | temperature i8 | wake u8
pub fn check_in(shown: u64, face: Option<FaceHash>) -> Vec<u8> {
    let mut payload = vec![0x01];
    payload.extend(shown.to_be_bytes());
    payload.extend(face.map_or([0; 32], |face| *face.as_octets()));
    payload.extend(3012_u16.to_be_bytes());
    payload.extend([21, 0]);
    payload
}

/// kind | reference u64 | outcome u8
pub fn operated(reference: u64, outcome: u8) -> Vec<u8> {
    let mut payload = vec![0x04];
    payload.extend(reference.to_be_bytes());
    payload.push(outcome);
    payload
}

/// kind | version u64 | first u16 | wanted u32
pub fn part_request(version: u64, first: u16, wanted: u32) -> Vec<u8> {
    let mut payload = vec![0x02];
    payload.extend(version.to_be_bytes());
    payload.extend(first.to_be_bytes());
    payload.extend(wanted.to_be_bytes());
    payload
}

/// kind | version u64 | face 32 | battery u16 | drawn u8
pub fn confirm(version: u64, face: FaceHash) -> Vec<u8> {
    let mut payload = vec![0x03];
    payload.extend(version.to_be_bytes());
    payload.extend(face.as_octets());
    payload.extend(2990_u16.to_be_bytes());
    payload.push(0);
    payload
}
