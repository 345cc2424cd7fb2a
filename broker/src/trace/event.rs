//! ● What happened to a device or a message, and how it lies in memory.
//!
//! ```text
//! event = action u8 | flags u8 | code u8 | client length u8 | length u16 | topic length u16 | count u32 | number u64
//!       | time i64 | reason length u8 | note length u8 | client | topic | reason | note
//!       | action u8 | flags u8 | code u8 | 0 | count u32 | number u64      time and texts are those of the event before
//! flags = bit 0: an error, bits 1-2: QoS or 3 for none, bit 3: a code, bit 4: the short form
//! ```
//! Integers are little-endian. Texts are cut to what their length can say, at a character.
//! Of what a connection handles at once, most has the time and texts of what was before it.

use wire::Timestamp;

use crate::message::Qos;
use crate::message_id::MessageId;

/// Octets before the texts.
const HEAD_BYTES: usize = 30;
/// Octets of the short form.
const SHORT_FORM_BYTES: usize = 16;
/// Longest client ID, reason or note.
const SHORT_BYTES_MAX: usize = u8::MAX as usize;
/// Longest topic or filter.
const TOPIC_BYTES_MAX: usize = 1024;

const IS_ERROR: u8 = 1;
const NO_QOS: u8 = 3;
const HAS_CODE: u8 = 8;
const IS_SHORT: u8 = 16;

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

    /// Whether a message begins so, for receivers that matched.
    pub fn is_publish(self) -> bool {
        matches!(self, Action::PubMqtt | Action::PubApi | Action::PubWill)
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

    /// Appends it to `out` in the short form. It comes after an event with the same time and texts.
    #[inline]
    pub fn put_short(&self, out: &mut Vec<u8>) {
        let mut octets = [0; SHORT_FORM_BYTES];
        octets[0] = self.action as u8;
        octets[1] = self.flags() | IS_SHORT;
        octets[2] = self.code.unwrap_or(0);
        octets[4..8].copy_from_slice(&self.count.to_le_bytes());
        octets[8..16].copy_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&octets);
    }

    /// Appends it to `out`; what those behind it may refer to.
    pub fn put_long(&self, out: &mut Vec<u8>) -> Texts {
        let whole = self.texts();
        let texts = [
            cut(whole[0], SHORT_BYTES_MAX),
            cut(whole[1], TOPIC_BYTES_MAX),
            cut(whole[2], SHORT_BYTES_MAX),
            cut(whole[3], SHORT_BYTES_MAX),
        ];
        let lengths = texts.map(str::len);
        let total = HEAD_BYTES + lengths.iter().sum::<usize>();
        let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
        let mut head = [0; HEAD_BYTES];
        head[0] = self.action as u8;
        head[1] = self.flags();
        head[2] = self.code.unwrap_or(0);
        head[3] = short(lengths[0]);
        head[4..6].copy_from_slice(&u16::try_from(total).unwrap_or(u16::MAX).to_le_bytes());
        head[6..8].copy_from_slice(&u16::try_from(lengths[1]).unwrap_or(0).to_le_bytes());
        head[8..12].copy_from_slice(&self.count.to_le_bytes());
        head[12..20].copy_from_slice(&self.number.to_le_bytes());
        head[20..28].copy_from_slice(&self.time.as_millis().to_le_bytes());
        head[28] = short(lengths[2]);
        head[29] = short(lengths[3]);
        out.reserve(total);
        out.extend_from_slice(&head);
        let at = out.len();
        for text in texts {
            out.extend_from_slice(text.as_bytes());
        }
        Texts { time: self.time, lengths: whole.map(str::len), at, end: out.len() }
    }

    fn flags(&self) -> u8 {
        let code = self.code.map_or(0, |_| HAS_CODE);
        u8::from(self.is_error) | self.qos.map_or(NO_QOS, Qos::number) << 1 | code
    }

    fn texts(&self) -> [&'a str; 4] {
        [self.client, self.topic, self.reason, self.note]
    }

    /// Reads one off the front, which comes after `before`; the rest follows it.
    pub fn take(octets: &'a [u8], before: Option<&Event<'a>>) -> Option<(Self, &'a [u8])> {
        if octets.get(1)? & IS_SHORT == 0 {
            return Self::take_long(octets);
        }
        let (head, rest) = octets.split_first_chunk::<SHORT_FORM_BYTES>()?;
        let mut event = Event { ..*before? };
        event.read_head(head)?;
        event.count = u32::from_le_bytes(*head[4..].first_chunk()?);
        event.number = u64::from_le_bytes(*head[8..].first_chunk()?);
        Some((event, rest))
    }

    fn take_long(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, texts) = octets.split_first_chunk::<HEAD_BYTES>()?;
        let total = usize::from(u16::from_le_bytes([head[4], head[5]]));
        let rest = octets.get(total..)?;
        let mut texts = texts.get(..total.checked_sub(HEAD_BYTES)?)?;
        let mut read = [""; 4];
        for (text, length) in read.iter_mut().zip(lengths(head)) {
            let (octets, after) = texts.split_at_checked(length)?;
            *text = std::str::from_utf8(octets).ok()?;
            texts = after;
        }
        let [client, topic, reason, note] = read;
        let time = Timestamp::from_millis(i64::from_le_bytes(*head[20..].first_chunk()?));
        let mut event = Event { topic, reason, note, ..Event::new(time, Action::Connect, client) };
        event.read_head(head)?;
        event.count = u32::from_le_bytes(*head[8..].first_chunk()?);
        event.number = u64::from_le_bytes(*head[12..].first_chunk()?);
        Some((event, rest))
    }

    /// What both forms begin with.
    fn read_head(&mut self, head: &[u8]) -> Option<()> {
        let (&[action, flags, code], _) = head.split_first_chunk()?;
        self.action = *Action::ALL.get(usize::from(action))?;
        self.is_error = flags & IS_ERROR != 0;
        self.qos = Qos::from_number(flags >> 1 & 3);
        self.code = (flags & HAS_CODE != 0).then_some(code);
        Some(())
    }
}

/// Time and texts of an event in the long form.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    time: Timestamp,
    lengths: [usize; 4],
    at: usize,
    end: usize,
}

impl Texts {
    /// Whether `event` has the same; they lie in `octets`. Texts that were cut are like no others.
    #[inline]
    pub fn are_of(&self, event: &Event<'_>, octets: &[u8]) -> bool {
        let [client, topic, reason, note] = event.texts();
        if self.time != event.time || self.lengths != event.texts().map(str::len) {
            return false;
        }
        let (begin, mut rest) = octets[self.at..self.end].split_at(client.len().min(self.end - self.at));
        if begin != client.as_bytes() {
            return false;
        }
        // Most have no more, and comparing nothing costs as much as comparing a little.
        [topic, reason, note].iter().filter(|text| !text.is_empty()).all(|text| {
            let Some((octets, after)) = rest.split_at_checked(text.len()) else { return false };
            rest = after;
            octets == text.as_bytes()
        })
    }
}

/// Of client, topic, reason and note.
fn lengths(head: &[u8; HEAD_BYTES]) -> [usize; 4] {
    [head[3].into(), u16::from_le_bytes([head[6], head[7]]).into(), head[28].into(), head[29].into()]
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
            let again = Event { action: Action::Ack, qos: None, code: Some(7), number: 1, ..event };
            let other = Event { note: "other", ..again };
            let mut octets = Vec::new();
            let texts = event.put_long(&mut octets);
            prop_assert!(texts.are_of(&again, &octets));
            again.put_short(&mut octets);
            prop_assert_eq!(texts.are_of(&other, &octets), note == "other");
            other.put_long(&mut octets);
            let (mut read, mut rest) = Event::take(&octets, None).unwrap();
            prop_assert_eq!(read, event);
            for expected in [again, other] {
                (read, rest) = Event::take(rest, Some(&read)).unwrap();
                prop_assert_eq!(read, expected);
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_octets_are_taken_for_more_than_they_are(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let before = Event::new(Timestamp::EPOCH, Action::Drop, "");
            if let Some((_, rest)) = Event::take(&octets, Some(&before)) {
                prop_assert!(rest.len() < octets.len());
            }
        }
    }

    #[test]
    fn texts_that_are_too_long_are_cut_at_a_character() {
        let long = "ż".repeat(2000);
        let event = Event { topic: &long, note: &long, ..Event::new(Timestamp::EPOCH, Action::Drop, &long) };
        let mut octets = Vec::new();
        let texts = event.put_long(&mut octets);
        assert!(!texts.are_of(&event, &octets));
        let (read, rest) = Event::take(&octets, None).unwrap();
        assert_eq!((read.client.len(), read.topic.len(), read.note.len(), rest.len()), (254, 1024, 254, 0));
    }
}
