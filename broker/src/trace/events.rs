//! ● Events in a row, as they lie in memory.
//!
//! ```text
//! long  = action u8 | flags u8 | code u8 | client length u8 | length u16 | topic length u16 | count u32 | number u64
//!       | time i64 | reason length u8 | note length u8 | client | topic | reason | note
//! short = action u8 | flags u8 | code u8 | 0 | count u32 | number u64    time and texts are those of the event before
//! run   = 0 | flags u8 | times u16          the event before, so many times more, each with a number one higher
//! flags = bit 0: an error, bits 1-2: QoS or 3 for none, bit 3: a code, bit 4: the short form, bit 5: a run
//! ```
//! Integers are little-endian. Texts are cut to what their length can say, at a character.
//! Messages that a connection handles together differ in little more than their numbers, which follow one another: of
//! a hundred of them the first is written, and how many followed.

use wire::Timestamp;

use super::event::{Action, Event};
use crate::message::Qos;

/// Octets of the long form before the texts.
const LONG_BYTES: usize = 30;
/// Octets of the short form.
const SHORT_BYTES: usize = 16;
/// Octets of a run.
const RUN_BYTES: usize = 4;
/// Longest client ID, reason or note.
const TEXT_BYTES_MAX: usize = u8::MAX as usize;
/// Longest topic or filter.
const TOPIC_BYTES_MAX: usize = 1024;

const IS_ERROR: u8 = 1;
const NO_QOS: u8 = 3;
const HAS_CODE: u8 = 8;
const IS_SHORT: u8 = 16;
const IS_RUN: u8 = 32;

/// Some events.
#[derive(Clone, Debug, Default)]
pub struct Events {
    octets: Vec<u8>,
    /// How many.
    pub count: usize,
    /// The earliest and the latest.
    pub times: Option<(Timestamp, Timestamp)>,
}

impl Events {
    /// These.
    pub fn of(events: &[Event<'_>]) -> Self {
        let mut writer = Writer::EMPTY;
        for event in events {
            writer.push(*event);
        }
        writer.put_run();
        writer.events
    }

    /// How many octets they are.
    pub fn bytes(&self) -> usize {
        self.octets.len()
    }

    /// Those of `events` behind these.
    pub fn append(&mut self, events: &Events) {
        self.octets.extend_from_slice(&events.octets);
        self.count += events.count;
        self.times = joined(self.times, events.times);
    }

    /// Empty again; memory is kept.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.count = 0;
        self.times = None;
    }

    /// Each of them.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.octets, before: None, times: 0 }
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = Event<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

fn joined(
    a: Option<(Timestamp, Timestamp)>,
    b: Option<(Timestamp, Timestamp)>,
) -> Option<(Timestamp, Timestamp)> {
    match (a, b) {
        (Some((first, last)), Some((earlier, later))) => Some((first.min(earlier), last.max(later))),
        (Some(times), None) | (None, Some(times)) => Some(times),
        (None, None) => None,
    }
}

/// Writes events one after the other.
#[derive(Debug)]
pub struct Writer {
    events: Events,
    last: Option<Last>,
}

/// The last event: what one behind it need not repeat.
#[derive(Clone, Copy, Debug)]
struct Last {
    head: u64,
    number: u64,
    time: Timestamp,
    /// Of the texts. Those that were cut are like no others.
    lengths: [usize; 4],
    /// Where they begin.
    texts: usize,
    /// How many times more it happened, which is not written yet.
    times: u32,
}

impl Writer {
    /// With nothing written.
    pub const EMPTY: Self =
        Writer { events: Events { octets: Vec::new(), count: 0, times: None }, last: None };

    /// Whether nothing has been written.
    pub fn is_empty(&self) -> bool {
        self.events.count == 0
    }

    /// How many octets have been written.
    pub fn bytes(&self) -> usize {
        self.events.bytes()
    }

    /// One more. Most go on with a run, which costs a comparison and a sum.
    #[inline]
    pub fn push(&mut self, event: Event<'_>) {
        self.events.count += 1;
        if !self.last.as_mut().is_some_and(|last| last.runs_on_to(&event, &self.events.octets)) {
            self.put(event);
        }
    }

    /// What has been written, to be read.
    pub fn finish(&mut self) -> &Events {
        self.put_run();
        &self.events
    }

    /// Empty again; memory is kept.
    pub fn clear(&mut self) {
        self.events.clear();
        self.last = None;
    }

    #[inline(never)]
    fn put(&mut self, event: Event<'_>) {
        self.put_run();
        let head = head_of(&event);
        let octets = &mut self.events.octets;
        match &mut self.last {
            Some(last) if last.has_texts_of(&event, octets) => {
                (last.head, last.number) = (head, event.number);
                put_short(head, event.number, octets);
            }
            Some(_) | None => {
                self.last = Some(put_long(&event, head, octets));
                self.events.times = joined(self.events.times, Some((event.time, event.time)));
            }
        }
    }

    fn put_run(&mut self) {
        let Some(last) = &mut self.last else { return };
        while last.times > 0 {
            let times = u16::try_from(last.times).unwrap_or(u16::MAX);
            let [low, high] = times.to_le_bytes();
            self.events.octets.extend_from_slice(&[0, IS_RUN, low, high]);
            last.times -= u32::from(times);
        }
    }
}

impl Last {
    /// Whether `event` is the same but for its number, which is the next one.
    #[inline]
    fn runs_on_to(&mut self, event: &Event<'_>, octets: &[u8]) -> bool {
        let number = self.number.wrapping_add(1);
        let runs_on =
            number == event.number && self.head == head_of(event) && self.has_texts_of(event, octets);
        if runs_on {
            self.number = number;
            self.times += 1;
        }
        runs_on
    }

    /// Whether `event` has the same time and texts.
    #[inline]
    fn has_texts_of(&self, event: &Event<'_>, octets: &[u8]) -> bool {
        let Event { client, topic, reason, note, .. } = *event;
        let [client_bytes, topic_bytes, reason_bytes, note_bytes] = self.lengths;
        // One by one: four at once would be read from where they have just been written one by one, which stalls.
        self.time == event.time
            && client_bytes == client.len()
            && topic_bytes == topic.len()
            && reason_bytes == reason.len()
            && note_bytes == note.len()
            && octets[self.texts..].strip_prefix(client.as_bytes()).is_some_and(|rest| {
                // Most have no more, and comparing nothing costs as much as comparing a little.
                (topic.is_empty() || rest.starts_with(topic.as_bytes()))
                    && (reason.len() + note.len() == 0 || has_both(rest.get(topic.len()..), reason, note))
            })
    }
}

#[cold]
fn has_both(octets: Option<&[u8]>, reason: &str, note: &str) -> bool {
    octets
        .and_then(|octets| octets.strip_prefix(reason.as_bytes()))
        .is_some_and(|rest| rest.starts_with(note.as_bytes()))
}

/// Action, flags, code and count, as the short form begins with them.
#[inline]
fn head_of(event: &Event<'_>) -> u64 {
    let code = event.code.map_or(0, |_| HAS_CODE);
    let flags = u8::from(event.is_error) | event.qos.map_or(NO_QOS, Qos::number) << 1 | code;
    u64::from(event.action as u8)
        | u64::from(flags) << 8
        | u64::from(event.code.unwrap_or(0)) << 16
        | u64::from(event.count) << 32
}

#[inline]
fn texts_of<'a>(event: &Event<'a>) -> [&'a str; 4] {
    [event.client, event.topic, event.reason, event.note]
}

fn put_short(head: u64, number: u64, octets: &mut Vec<u8>) {
    let mut form = [0; SHORT_BYTES];
    form[..8].copy_from_slice(&head.to_le_bytes());
    form[1] |= IS_SHORT;
    form[8..].copy_from_slice(&number.to_le_bytes());
    octets.extend_from_slice(&form);
}

fn put_long(event: &Event<'_>, head: u64, octets: &mut Vec<u8>) -> Last {
    let octets_of_head = head.to_le_bytes();
    let whole = texts_of(event);
    let texts = [
        cut(whole[0], TEXT_BYTES_MAX),
        cut(whole[1], TOPIC_BYTES_MAX),
        cut(whole[2], TEXT_BYTES_MAX),
        cut(whole[3], TEXT_BYTES_MAX),
    ];
    let lengths = texts.map(str::len);
    let total = LONG_BYTES + lengths.iter().sum::<usize>();
    let short = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
    let mut form = [0; LONG_BYTES];
    form[..3].copy_from_slice(&octets_of_head[..3]);
    form[3] = short(lengths[0]);
    form[4..6].copy_from_slice(&u16::try_from(total).unwrap_or(u16::MAX).to_le_bytes());
    form[6..8].copy_from_slice(&u16::try_from(lengths[1]).unwrap_or(0).to_le_bytes());
    form[8..12].copy_from_slice(&octets_of_head[4..]);
    form[12..20].copy_from_slice(&event.number.to_le_bytes());
    form[20..28].copy_from_slice(&event.time.as_millis().to_le_bytes());
    form[28] = short(lengths[2]);
    form[29] = short(lengths[3]);
    octets.reserve(total);
    octets.extend_from_slice(&form);
    let begin = octets.len();
    for text in texts {
        octets.extend_from_slice(text.as_bytes());
    }
    let is_cut = lengths != whole.map(str::len);
    let lengths = if is_cut { [usize::MAX; 4] } else { lengths };
    Last { head, number: event.number, time: event.time, lengths, texts: begin, times: 0 }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max { text } else { &text[..text.floor_char_boundary(bytes_max)] }
}

/// Reads events off the front of octets; ends where they are not as they are written.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    before: Option<Event<'a>>,
    /// How often the event before happens again.
    times: u16,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        if self.times == 0 {
            self.read()?;
        } else {
            self.times -= 1;
            let before = self.before.as_mut()?;
            before.number = before.number.wrapping_add(1);
        }
        self.before
    }
}

impl Iter<'_> {
    fn read(&mut self) -> Option<()> {
        let flags = *self.rest.get(1)?;
        if flags & IS_RUN != 0 {
            return self.read_run();
        }
        let (event, rest) =
            if flags & IS_SHORT == 0 { take_long(self.rest)? } else { take_short(self.rest, self.before?)? };
        (self.before, self.rest) = (Some(event), rest);
        Some(())
    }

    fn read_run(&mut self) -> Option<()> {
        let (&[.., low, high], rest) = self.rest.split_first_chunk::<RUN_BYTES>()?;
        let before = self.before.as_mut()?;
        self.times = u16::from_le_bytes([low, high]).checked_sub(1)?;
        before.number = before.number.wrapping_add(1);
        self.rest = rest;
        Some(())
    }
}

fn take_short<'a>(octets: &'a [u8], before: Event<'a>) -> Option<(Event<'a>, &'a [u8])> {
    let (form, rest) = octets.split_first_chunk::<SHORT_BYTES>()?;
    let mut event = before;
    read_head(&mut event, form)?;
    event.count = u32::from_le_bytes(*form[4..].first_chunk()?);
    event.number = u64::from_le_bytes(*form[8..].first_chunk()?);
    Some((event, rest))
}

fn take_long(octets: &[u8]) -> Option<(Event<'_>, &[u8])> {
    let (form, texts) = octets.split_first_chunk::<LONG_BYTES>()?;
    let total = usize::from(u16::from_le_bytes([form[4], form[5]]));
    let rest = octets.get(total..)?;
    let mut texts = texts.get(..total.checked_sub(LONG_BYTES)?)?;
    let lengths =
        [form[3].into(), u16::from_le_bytes([form[6], form[7]]).into(), form[28].into(), form[29].into()];
    let mut read = [""; 4];
    for (text, length) in read.iter_mut().zip(lengths) {
        let (octets, after) = texts.split_at_checked(length)?;
        *text = std::str::from_utf8(octets).ok()?;
        texts = after;
    }
    let [client, topic, reason, note] = read;
    let time = Timestamp::from_millis(i64::from_le_bytes(*form[20..].first_chunk()?));
    let mut event = Event { topic, reason, note, ..Event::new(time, Action::Connect, client) };
    read_head(&mut event, form)?;
    event.count = u32::from_le_bytes(*form[8..].first_chunk()?);
    event.number = u64::from_le_bytes(*form[12..].first_chunk()?);
    Some((event, rest))
}

/// What both forms begin with.
fn read_head(event: &mut Event<'_>, form: &[u8]) -> Option<()> {
    let (&[action, flags, code], _) = form.split_first_chunk()?;
    event.action = *Action::ALL.get(usize::from(action))?;
    event.is_error = flags & IS_ERROR != 0;
    event.qos = Qos::from_number(flags >> 1 & 3);
    event.code = (flags & HAS_CODE != 0).then_some(code);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(time: i64, number: u64, texts: [&str; 4]) -> Event<'_> {
        let [client, topic, reason, note] = texts;
        let event = Event::new(Timestamp::from_millis(time), Action::Push, client);
        Event { number, topic, reason, note, ..event }
    }

    prop_compose! {
        /// Much alike: few times, numbers and texts, so that every form appears in every order.
        fn events()(
            events in prop::collection::vec(
                (0..Action::ALL.len(), 0_u8..4, any::<bool>(), 0_i64..2, any::<Option<bool>>(), 0_u32..2, 0_usize..3),
                0..30,
            ),
            again in prop::collection::vec(0_u64..5, 30),
            first in any::<u64>(),
        ) -> Vec<Event<'static>> {
            let texts = [["", "", "", ""], ["ab", "a", "", ""], ["a", "ba", "źle", "x"]];
            let mut number = first;
            let mut all = Vec::new();
            for ((action, qos, is_error, time, code, count, text), again) in events.into_iter().zip(again) {
                for _ in 0..=again {
                    number = number.wrapping_add(1);
                    all.push(Event {
                        action: Action::ALL[action],
                        is_error,
                        qos: Qos::from_number(qos),
                        code: code.map(u8::from),
                        count,
                        ..event(time, number, texts[text])
                    });
                }
                number = number.wrapping_add(u64::from(is_error));
            }
            all
        }
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_read(all in events(), at in any::<prop::sample::Index>()) {
            let (first, second) = all.split_at(at.index(all.len() + 1));
            let mut events = Events::of(first);
            events.append(&Events::of(second));
            prop_assert_eq!(events.count, all.len());
            prop_assert_eq!(events.iter().collect::<Vec<_>>(), all);
        }

        #[test]
        fn any_texts_are_read_as_they_were(
            (client, topic, reason, note) in (".{0,60}", ".{0,200}", ".{0,60}", ".{0,60}"),
            (number, time) in (any::<u64>(), any::<i64>()),
        ) {
            let whole = event(time, number, [&client, &topic, &reason, &note]);
            let other = Event { note: "other", ..whole };
            let events = Events::of(&[whole, other]);
            prop_assert_eq!(events.iter().collect::<Vec<_>>(), [whole, other]);
        }

        #[test]
        fn any_octets_are_read_to_an_end(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut events = Events::of(&[event(0, 1, ["a", "b", "", ""])]);
            events.octets.extend_from_slice(&octets);
            prop_assert!(events.iter().count() <= 1 + 16 * usize::from(u16::MAX));
        }
    }

    #[test]
    fn a_run_has_one_record_until_its_length_is_full() {
        let alike = |number| event(7, number, ["a", "", "", ""]);
        let bytes = |count: u64| Events::of(&(0..count).map(alike).collect::<Vec<_>>()).bytes();
        assert_eq!(bytes(1), LONG_BYTES + 1);
        assert_eq!(bytes(2), LONG_BYTES + 1 + RUN_BYTES);
        assert_eq!(bytes(65_536), LONG_BYTES + 1 + RUN_BYTES);
        assert_eq!(bytes(65_537), LONG_BYTES + 1 + 2 * RUN_BYTES);
        let interrupted: Vec<_> = (0..65_540).chain([65_541]).map(alike).collect();
        let events = Events::of(&interrupted);
        assert_eq!(events.bytes(), LONG_BYTES + 1 + 2 * RUN_BYTES + SHORT_BYTES);
        assert!(events.iter().eq(interrupted));
    }

    #[test]
    fn texts_that_are_too_long_are_cut_at_a_character() {
        let long = "ż".repeat(2000);
        let events = Events::of(&[0, 1].map(|number| event(0, number, [&long, &long, "", &long])));
        let read = events.iter().map(|event| (event.client.len(), event.topic.len(), event.note.len()));
        assert!(read.eq([(254, 1024, 254); 2]));
    }
}
