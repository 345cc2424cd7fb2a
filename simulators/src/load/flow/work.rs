//! The tasks of a run, and what they share. All of them are on one thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use service_kit::clock::Stopwatch;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

use super::{FlowConfig, Pace, Until};
use crate::load::figures::Count;
use crate::load::histogram::{Histogram, Spread};
use crate::load::octets::{Incoming, Qos, Stamp, packet_id, put_puback, put_publish};
use crate::load::schedule::Schedule;
use crate::load::sequence::{Checker, Seen, Verdict};
use crate::load::shape::Shape;
use crate::load::target::run_stamp;
use crate::load::window::Window;
use crate::load::wire_client::{Reader, WireClient};

/// Messages of a publisher that may be under way when a rate decides, not a window.
const RATE_WINDOW: u32 = 4096;
/// How long nothing may arrive until what has not arrived is lost.
const QUIET: Duration = Duration::from_secs(3);
/// How often that is looked at.
const QUIET_POLL: Duration = Duration::from_millis(1);
/// Octets that are written at once; more makes no difference.
const WRITE_BYTES: usize = 64 * 1024;

/// A run at work.
pub struct Flow {
    shape: Shape,
    pace: Pace,
    qos: Qos,
    payload_bytes: usize,
    /// Messages per publisher.
    messages_max: u64,
    run: u32,
    watch: Stopwatch,
    streams: Vec<Stream>,
    /// For each receiver the publishers it hears.
    checkers: Vec<RefCell<Vec<Checker>>>,
    latency: RefCell<Histogram>,
    late_max: Cell<Duration>,
    received: Cell<u64>,
    strange: Cell<u64>,
    stopped: Cell<bool>,
}

/// What one publisher sends.
struct Stream {
    topic: String,
    window: RefCell<Window>,
    acked: Cell<u64>,
    progress: Notify,
}

impl Flow {
    /// Nothing was sent.
    pub fn new(config: &FlowConfig) -> Self {
        let shape = config.shape;
        let size = match config.pace {
            Pace::Window(size) => size,
            Pace::PerSecond(_) => RATE_WINDOW,
        };
        let parties = shape.receivers_per_message() + u32::from(config.qos.level());
        let stream = |publisher| Stream {
            topic: config.target.topic(&config.receiver(shape.topic_of(publisher))),
            window: RefCell::new(Window::new(size, parties)),
            acked: Cell::new(0),
            progress: Notify::new(),
        };
        let heard = vec![Checker::default(); shape.publishers_per_receiver() as usize];
        Flow {
            shape,
            pace: config.pace,
            qos: config.qos,
            payload_bytes: config.payload_bytes,
            messages_max: match config.until {
                Until::Elapsed(_) => u64::MAX,
                Until::Messages(messages) => messages,
            },
            run: run_stamp(config.run),
            watch: Stopwatch::start(),
            streams: (0..shape.publishers()).map(stream).collect(),
            checkers: (0..shape.receivers()).map(|_| RefCell::new(heard.clone())).collect(),
            latency: RefCell::default(),
            late_max: Cell::default(),
            received: Cell::default(),
            strange: Cell::default(),
            stopped: Cell::default(),
        }
    }

    /// How fast.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// How many publish.
    pub fn publishers(&self) -> u32 {
        self.shape.publishers()
    }

    /// Messages received so far, duplicates not counted.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// From publish to receipt.
    pub fn latency(&self) -> Spread {
        self.latency.borrow().spread()
    }

    /// How far the schedule was missed, at most.
    pub fn late_max(&self) -> Duration {
        self.late_max.get()
    }

    /// Nobody publishes any more.
    pub fn stop(&self) {
        self.stopped.set(true);
        self.streams.iter().for_each(|stream| stream.progress.notify_one());
    }

    /// Waits until nothing is under way, or nothing has arrived for a while.
    pub async fn settle(&self) {
        let (mut seen, mut since) = (self.arrived(), Stopwatch::start());
        while !self.is_settled() && since.elapsed() < QUIET {
            tokio::time::sleep(QUIET_POLL).await;
            let arrived = self.arrived();
            if arrived != seen {
                (seen, since) = (arrived, Stopwatch::start());
            }
        }
    }

    fn arrived(&self) -> u64 {
        self.received.get() + self.streams.iter().map(|stream| stream.acked.get()).sum::<u64>()
    }

    fn is_settled(&self) -> bool {
        self.streams.iter().all(|stream| {
            let window = stream.window.borrow();
            window.is_empty() && (self.stopped.get() || window.sent() >= self.messages_max)
        })
    }

    /// What became of everything that was published.
    pub fn count(&self) -> Count {
        let sent: Vec<u64> = self.streams.iter().map(|stream| stream.window.borrow().sent()).collect();
        let mut verdict = Verdict { strange: self.strange.get(), ..Verdict::default() };
        for (checkers, receiver) in self.checkers.iter().zip(0..) {
            for (checker, slot) in checkers.borrow().iter().zip(0..) {
                let publisher = self.shape.publisher_in(receiver, slot) as usize;
                verdict = verdict.plus(checker.verdict(sent[publisher]));
            }
        }
        let published = sent.iter().sum();
        let acked: u64 = self.streams.iter().map(|stream| stream.acked.get()).sum();
        let unacknowledged = match self.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => published - acked.min(published),
        };
        Count { published, unacknowledged, verdict }
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.watch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Judges a message; returns its publisher when that has more room now.
    fn note(&self, receiver: u32, stamp: Option<Stamp>, now_ns: u64) -> Option<u32> {
        let stamp = stamp.filter(|stamp| stamp.run == self.run);
        let found = stamp.and_then(|stamp| Some((stamp, self.shape.slot(receiver, stamp.publisher)?)));
        let Some((stamp, slot)) = found else {
            self.strange.set(self.strange.get() + 1);
            return None;
        };
        let mut window = self.streams[stamp.publisher as usize].window.borrow_mut();
        if stamp.seq >= window.sent() {
            self.strange.set(self.strange.get() + 1);
            return None;
        }
        let checker = &mut self.checkers[receiver as usize].borrow_mut()[slot as usize];
        if checker.note(stamp.seq) == Seen::Fresh {
            self.received.set(self.received.get() + 1);
            if matches!(self.pace, Pace::PerSecond(_)) {
                self.latency.borrow_mut().record(now_ns.saturating_sub(stamp.sent_at_ns));
            }
        }
        window.advance(self.shape.party(receiver), checker.next()).then_some(stamp.publisher)
    }

    /// Appends the next message of a publisher, which is under way now.
    fn put_next(&self, out: &mut BytesMut, publisher: u32, sent_at_ns: u64) {
        let stream = &self.streams[publisher as usize];
        let seq = stream.window.borrow_mut().send();
        let stamp = Stamp { run: self.run, publisher, seq, sent_at_ns };
        put_publish(out, &stream.topic, self.qos, &stamp, self.payload_bytes);
    }

    /// How many messages a publisher may send now; `None` when it is done.
    fn room(&self, publisher: u32) -> Option<u64> {
        let window = self.streams[publisher as usize].window.borrow();
        let left = self.messages_max - window.sent();
        (!self.stopped.get() && left > 0).then(|| window.room().min(left))
    }
}

/// A receiver: judges and acknowledges.
pub async fn receive(flow: Rc<Flow>, receiver: u32, client: WireClient) -> io::Result<()> {
    let WireClient { mut reader, mut writer, session_present: _ } = client;
    let (mut acks, mut roomier) = (BytesMut::new(), Vec::new());
    loop {
        let mut next = Some(reader.next().await?);
        let now_ns = flow.now_ns();
        while let Some(incoming) = next {
            if let Incoming::Publish(packet_id, stamp) = incoming {
                if let Some(packet_id) = packet_id {
                    put_puback(&mut acks, packet_id);
                }
                let publisher = flow.note(receiver, stamp, now_ns);
                if publisher.is_some() && roomier.last() != publisher.as_ref() {
                    roomier.extend(publisher);
                }
            }
            next = reader.take();
        }
        for publisher in roomier.drain(..) {
            flow.streams[publisher as usize].progress.notify_one();
        }
        if !acks.is_empty() {
            writer.write_all(&acks.split()).await?;
        }
    }
}

/// The reading half of a publisher: PUBACKs, in the order of the messages [MQTT-4.6.0-2].
pub async fn hear_acks(flow: Rc<Flow>, publisher: u32, mut reader: Reader) -> io::Result<()> {
    let stream = &flow.streams[publisher as usize];
    let party = flow.shape.receivers_per_message();
    loop {
        let mut next = Some(reader.next().await?);
        while let Some(incoming) = next {
            if let Incoming::PubAck(id) = incoming {
                let acked = stream.acked.get();
                if Some(id) != packet_id(flow.qos, acked) {
                    flow.strange.set(flow.strange.get() + 1);
                }
                stream.acked.set(acked + 1);
            }
            next = reader.take();
        }
        if flow.qos == Qos::AtLeastOnce && stream.window.borrow_mut().advance(party, stream.acked.get()) {
            stream.progress.notify_one();
        }
    }
}

/// A publisher that keeps its window full.
pub async fn publish(
    flow: Rc<Flow>,
    publisher: u32,
    mut writer: OwnedWriteHalf,
) -> io::Result<Vec<OwnedWriteHalf>> {
    let mut out = BytesMut::new();
    while let Some(room) = flow.room(publisher) {
        if room == 0 {
            flow.streams[publisher as usize].progress.notified().await;
            continue;
        }
        let now_ns = flow.now_ns();
        for _ in 0..room {
            flow.put_next(&mut out, publisher, now_ns);
            if out.len() >= WRITE_BYTES {
                break;
            }
        }
        writer.write_all(&out.split()).await?;
    }
    Ok(vec![writer])
}

/// All publishers in turn, each message at its time.
pub async fn publish_on_time(
    flow: Rc<Flow>,
    schedule: Schedule,
    mut writers: Vec<OwnedWriteHalf>,
) -> io::Result<Vec<OwnedWriteHalf>> {
    let watch = Stopwatch::start();
    let mut out = BytesMut::new();
    let all = u64::from(flow.publishers());
    for number in 0..flow.messages_max.saturating_mul(all) {
        let due = schedule.due_at(number);
        let early = due.saturating_sub(watch.elapsed());
        if !early.is_zero() {
            tokio::time::sleep(early).await;
        }
        let publisher = schedule.publisher(number);
        while flow.room(publisher) == Some(0) {
            flow.streams[publisher as usize].progress.notified().await;
        }
        if flow.room(publisher).is_none() {
            break;
        }
        flow.late_max.set(flow.late_max.get().max(watch.elapsed().saturating_sub(due)));
        flow.put_next(&mut out, publisher, flow.now_ns());
        writers[publisher as usize].write_all(&out.split()).await?;
    }
    Ok(writers)
}
