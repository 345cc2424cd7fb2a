//! ● What happened to a device or a message, and how it lies in memory.
//!
//! ```text
//! event = length u16 | action u8 | flags u8 | code u8 | client length u8 | topic length u16 | reason length u8
//!       | note length u8 | count u32 | time i64 | number u64 | client | topic | reason | note
//! flags = bit 0: an error, bits 1-2: QoS or 3 for none, bit 3: a code
//! ```
//! Integers are little-endian. Texts are cut to what their length can say, at a character.

use wire::Timestamp;

use crate::message::Qos;
use crate::message_id::MessageId;

/// Octets before the texts.
const HEAD_BYTES: usize = 30;
/// Longest client ID, reason or note.
const SHORT_BYTES_MAX: usize = u8::MAX as usize;
/// Longest topic or filter.
const TOPIC_BYTES_MAX: usize = 1024;

const IS_ERROR: u8 = 1;
const NO_QOS: u8 = 3;
const HAS_CODE: u8 = 8;

macro_rules! actions {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal,)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum Action {
            $($(#[doc = $doc])* #[serde(rename = $word)] $name,)*
        }

        impl Action {
            /// All of them, in order of their numbers.
            pub const ALL: &[Action] = &[$(Action::$name,)*];

            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// CONNECT was accepted or refused.
    Connect = "connect",
    /// DISCONNECT came.
    Disconnect = "disconnect",
    /// The connection is over.
    Close = "close",
    /// A filter of SUBSCRIBE was granted or refused.
    Subscribe = "subscribe",
    /// A filter of UNSUBSCRIBE.
    Unsubscribe = "unsubscribe",
    /// Received from a client, and matched.
    PubMqtt = "pub_mqtt",
    /// Received from the API, and matched.
    PubApi = "pub_api",
    /// A will, published by the broker, and matched.
    PubWill = "pub_will",
    /// A publish was refused.
    PubRefused = "pub_refused",
    /// Pushed to a client.
    Push = "sub",
    /// Pushed to a client who was away when it was published.
    PushOffline = "push_offline",
    /// The client has it: PUBACK, or PUBREC.
    Ack = "ack",
    /// Kept for a client who is away.
    StoreOffline = "store_offline",
    /// Dropped.
    Drop = "drop",
    /// Kept for too long.
    Expire = "expire",
}

impl Action {
    /// Whether it is of a connection and not of a message.
    pub fn is_of_device(self) -> bool {
        self <= Action::Unsubscribe
    }
}

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// Whether it is one that `errors` keeps.
    pub is_error: bool,
    /// Granted, or published with; none when it is not known, or there is none.
    pub qos: Option<Qos>,
    /// The code that was sent, or that came.
    pub code: Option<u8>,
    /// Receivers that matched, for a publish.
    pub count: u32,
    /// The number of the message, or of the connection.
    pub number: u64,
    /// Whose.
    pub client: &'a str,
    /// Topic or filter. What follows the publish of a message need not repeat it.
    pub topic: &'a str,
    /// Why, in a word.
    pub reason: &'a str,
    /// More of it: an address, a sentence.
    pub note: &'a str,
}

impl<'a> Event<'a> {
    /// With nothing but when, what and whose.
    pub fn new(time: Timestamp, action: Action, client: &'a str) -> Self {
        let (qos, code, count, number) = (None, None, 0, 0);
        let (is_error, topic, reason, note) = (false, "", "", "");
        Event { time, action, is_error, qos, code, count, number, client, topic, reason, note }
    }

    /// The same of a message.
    #[must_use]
    pub fn of_message(self, id: MessageId, topic: &'a str, qos: Qos) -> Self {
        Event { number: id.number(), topic, qos: Some(qos), ..self }
    }

    /// The same for a reason that is an error.
    #[must_use]
    pub fn failed(self, reason: &'a str) -> Self {
        Event { is_error: true, reason, ..self }
    }

    /// Appends it to `out`.
    #[inline]
    pub fn put(&self, out: &mut Vec<u8>) {
        let client = cut(self.client, SHORT_BYTES_MAX).as_bytes();
        let topic = cut(self.topic, TOPIC_BYTES_MAX).as_bytes();
        let reason = cut(self.reason, SHORT_BYTES_MAX).as_bytes();
        let note = cut(self.note, SHORT_BYTES_MAX).as_bytes();
        let total = HEAD_BYTES + client.len() + topic.len() + reason.len() + note.len();
        let short = |octets: &[u8]| u8::try_from(octets.len()).unwrap_or(u8::MAX);
        let code = self.code.map_or(0, |_| HAS_CODE);
        let mut head = [0; HEAD_BYTES];
        head[0..2].copy_from_slice(&u16::try_from(total).unwrap_or(u16::MAX).to_le_bytes());
        head[2] = self.action as u8;
        head[3] = u8::from(self.is_error) | self.qos.map_or(NO_QOS, Qos::number) << 1 | code;
        head[4] = self.code.unwrap_or(0);
        head[5] = short(client);
        head[6..8].copy_from_slice(&u16::try_from(topic.len()).unwrap_or(0).to_le_bytes());
        head[8] = short(reason);
        head[9] = short(note);
        head[10..14].copy_from_slice(&self.count.to_le_bytes());
        head[14..22].copy_from_slice(&self.time.as_millis().to_le_bytes());
        head[22..30].copy_from_slice(&self.number.to_le_bytes());
        out.reserve(total);
        out.extend_from_slice(&head);
        out.extend_from_slice(client);
        // Most events have none of these, and appending nothing costs as much as appending a little.
        if !topic.is_empty() {
            out.extend_from_slice(topic);
        }
        if !(reason.is_empty() && note.is_empty()) {
            out.extend_from_slice(reason);
            out.extend_from_slice(note);
        }
    }

    /// Reads one off the front; the rest follows it.
    pub fn take(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, texts) = octets.split_first_chunk::<HEAD_BYTES>()?;
        let total = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let rest = octets.get(total..)?;
        let action = *Action::ALL.get(usize::from(head[2]))?;
        let mut texts = texts.get(..total.checked_sub(HEAD_BYTES)?)?;
        let lengths =
            [head[5].into(), u16::from_le_bytes([head[6], head[7]]).into(), head[8].into(), head[9].into()];
        let mut read = [""; 4];
        for (text, length) in read.iter_mut().zip(lengths) {
            let (octets, after) = texts.split_at_checked(length)?;
            *text = std::str::from_utf8(octets).ok()?;
            texts = after;
        }
        let [client, topic, reason, note] = read;
        let event = Event {
            time: Timestamp::from_millis(i64::from_le_bytes(*head.get(14..)?.first_chunk()?)),
            action,
            is_error: head[3] & IS_ERROR != 0,
            qos: Qos::from_number(head[3] >> 1 & 3),
            code: (head[3] & HAS_CODE != 0).then_some(head[4]),
            count: u32::from_le_bytes(*head.get(10..)?.first_chunk()?),
            number: u64::from_le_bytes(*head.get(22..)?.first_chunk()?),
            client,
            topic,
            reason,
            note,
        };
        Some((event, rest))
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max { text } else { &text[..text.floor_char_boundary(bytes_max)] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_taken(
            (action, qos, is_error) in (0..Action::ALL.len(), 0_u8..4, any::<bool>()),
            (time, code, count, number) in (any::<i64>(), any::<Option<u8>>(), any::<u32>(), any::<u64>()),
            (client, topic, reason, note) in (".{0,60}", ".{0,200}", ".{0,60}", ".{0,60}"),
        ) {
            let event = Event {
                time: Timestamp::from_millis(time),
                action: Action::ALL[action],
                is_error,
                qos: Qos::from_number(qos),
                code,
                count,
                number,
                client: &client,
                topic: &topic,
                reason: &reason,
                note: &note,
            };
            let mut octets = Vec::new();
            event.put(&mut octets);
            event.put(&mut octets);
            let (first, rest) = Event::take(&octets).unwrap();
            prop_assert_eq!(first, event);
            prop_assert_eq!(Event::take(rest), Some((event, &[][..])));
        }

        #[test]
        fn no_octets_are_taken_for_more_than_they_are(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((_, rest)) = Event::take(&octets) {
                prop_assert!(rest.len() < octets.len());
            }
        }
    }

    #[test]
    fn texts_that_are_too_long_are_cut_at_a_character() {
        let long = "ż".repeat(2000);
        let event = Event { topic: &long, note: &long, ..Event::new(Timestamp::EPOCH, Action::Drop, &long) };
        let mut octets = Vec::new();
        event.put(&mut octets);
        let (read, rest) = Event::take(&octets).unwrap();
        assert_eq!((read.client.len(), read.topic.len(), read.note.len(), rest.len()), (254, 1024, 254, 0));
    }
}
