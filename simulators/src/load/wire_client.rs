//! A client that speaks octets as fast as it can: MQTT 3.1.1, QoS 1, batches both ways.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::fault::{ConnectError, LoadError};

/// How long reaching the broker may take, and its answer to CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who connects.
#[derive(Clone, Debug)]
pub struct Login {
    /// Client ID.
    pub client_id: String,
    /// Username and password, when the broker wants them.
    pub credential: Option<(String, String)>,
}

/// A packet that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message: its packet identifier and the sequence number its payload begins with.
    Publish(u16, u64),
    /// An acknowledgement.
    PubAck(u16),
    /// Anything else, by its type.
    Other(u8),
}

/// The reading half with what has been read and not taken.
#[derive(Debug)]
pub struct Reader {
    half: OwnedReadHalf,
    octets: BytesMut,
}

fn text(out: &mut BytesMut, text: &str) {
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(body.len() + 5);
    put_packet(&mut out, first, body.len());
    out.put_slice(body);
    out
}

fn put_packet(out: &mut BytesMut, first: u8, mut length: usize) {
    out.put_u8(first);
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        out.put_u8(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

/// Connects with a clean session and waits for CONNACK 0.
pub async fn connect(address: &str, login: &Login) -> Result<(Reader, OwnedWriteHalf), ConnectError> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    let reached = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late()));
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let stream = reached.and_then(|stream| stream.set_nodelay(true).map(|()| stream)).map_err(unreachable)?;
    let (half, mut writer) = stream.into_split();
    let mut reader = Reader { half, octets: BytesMut::with_capacity(64 * 1024) };
    let asked = timeout(CONNECT_TIMEOUT, introduce(&mut reader, &mut writer, login)).await;
    let code = asked.unwrap_or_else(|_| Err(late()));
    match code.map_err(|source| ConnectError::NoAnswer { address: address.to_owned(), source })? {
        0 => Ok((reader, writer)),
        code => Err(ConnectError::Refused { client_id: login.client_id.clone(), code }),
    }
}

/// CONNECT; the return code of CONNACK.
async fn introduce(reader: &mut Reader, writer: &mut OwnedWriteHalf, login: &Login) -> io::Result<u8> {
    let mut body = BytesMut::new();
    text(&mut body, "MQTT");
    body.put_u8(4);
    body.put_u8(if login.credential.is_some() { 0xC2 } else { 0x02 });
    body.put_u16(0);
    text(&mut body, &login.client_id);
    if let Some((username, password)) = &login.credential {
        text(&mut body, username);
        text(&mut body, password);
    }
    writer.write_all(&packet(0x10, &body)).await?;
    match reader.whole_packet().await?[..] {
        [0x20, 2, _, code] => Ok(code),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "what it says is no CONNACK")),
    }
}

/// Subscribes with QoS 1 and waits for SUBACK.
pub async fn subscribe(
    reader: &mut Reader,
    writer: &mut OwnedWriteHalf,
    filter: &str,
) -> Result<(), LoadError> {
    let mut body = BytesMut::new();
    body.put_u16(1);
    text(&mut body, filter);
    body.put_u8(1);
    writer.write_all(&packet(0x82, &body)).await?;
    match reader.whole_packet().await?[..] {
        [0x90, 3, _, _, 0 | 1] => Ok(()),
        _ => Err(LoadError::Subscribe { filter: filter.to_owned() }),
    }
}

/// Appends a PUBLISH of QoS 1 whose payload begins with `seq`.
pub fn put_publish(out: &mut BytesMut, topic: &str, packet_id: u16, seq: u64, payload_bytes: usize) {
    let payload_bytes = payload_bytes.max(8);
    put_packet(out, 0x32, 2 + topic.len() + 2 + payload_bytes);
    text(out, topic);
    out.put_u16(packet_id);
    out.put_u64(seq);
    out.put_bytes(0x55, payload_bytes - 8);
}

/// Appends a PUBACK.
pub fn put_puback(out: &mut BytesMut, packet_id: u16) {
    out.put_slice(&[0x40, 2]);
    out.put_u16(packet_id);
}

impl Reader {
    async fn fill(&mut self) -> io::Result<()> {
        self.octets.reserve(32 * 1024);
        match self.half.read_buf(&mut self.octets).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The next packet, waiting for it.
    pub async fn next(&mut self) -> io::Result<Incoming> {
        loop {
            if let Some(incoming) = self.take() {
                return Ok(incoming);
            }
            self.fill().await?;
        }
    }

    /// The next packet if it is here already.
    pub fn take(&mut self) -> Option<Incoming> {
        let (header, total) = self.frame()?;
        let packet = self.octets.split_to(total);
        let kind = packet[0] >> 4;
        let mut body = &packet[header..];
        Some(match kind {
            3 => {
                let topic_bytes = usize::from(body.get_u16());
                body.advance(topic_bytes);
                let packet_id = if packet[0] & 0x06 == 0 { 0 } else { body.get_u16() };
                Incoming::Publish(packet_id, body.get_u64())
            }
            4 => Incoming::PubAck(body.get_u16()),
            other => Incoming::Other(other),
        })
    }

    fn frame(&self) -> Option<(usize, usize)> {
        let mut length = 0;
        for (index, octet) in self.octets.iter().skip(1).take(4).enumerate() {
            length |= usize::from(octet & 0x7f) << (7 * index);
            if octet & 0x80 == 0 {
                let header = index + 2;
                return (self.octets.len() >= header + length).then_some((header, header + length));
            }
        }
        None
    }

    async fn whole_packet(&mut self) -> io::Result<BytesMut> {
        loop {
            if let Some((_, total)) = self.frame() {
                return Ok(self.octets.split_to(total));
            }
            self.fill().await?;
        }
    }
}
