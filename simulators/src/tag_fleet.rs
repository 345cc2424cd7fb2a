//! Many tags on real sockets: a task, a UDP socket and an air per access point.
//!
//! ```text
//! TagFleet ──commands (64)──▶ cell task ◀──UDP──▶ access point
//!    ▲──views, counters───────────┘ ╰─ Cell ●: tags, air
//! ```
//! Commands wait while their queue is full. Datagrams wait in the socket's buffer; what the operating system drops there
//! is lost like in the air.
//!
//! E-paper keeps its picture without power. With a memory, simulated tags keep theirs across restarts of the process.

/// ● The tags of one access point, and the air between them.
pub mod cell;
/// ● A tag's end of the secured link.
mod link;
/// What tags keep without power.
mod memory;

#[cfg(test)]
mod fake_access_point;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wire::DeviceId;
use wire::tag::TagId;

use self::cell::{Cell, Effect, Input};
pub use self::cell::{Command, Counters, TagConfig, TagView};
use self::memory::Memory;
use crate::air::Knobs;
use crate::tag::{Settings, Shown};

/// Commands that may wait for a cell.
const COMMANDS_MAX: usize = 64;
/// Room for a datagram; larger ones are cut off and then refused.
const DATAGRAM_BYTES_MAX: usize = 512;

/// The tags of one access point.
#[derive(Clone, Debug)]
pub struct CellConfig {
    /// Its name.
    pub access_point: DeviceId,
    /// Where its radio listens.
    pub gateway: SocketAddr,
    /// Its tags.
    pub tags: Vec<TagConfig>,
}

/// Which tags there are, and how they are.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// One per access point.
    pub cells: Vec<CellConfig>,
    /// What all tags have in common; each has its own size.
    pub settings: Settings,
    /// What the air does.
    pub air: Knobs,
    /// Of the dice.
    pub seed: u64,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A socket could not be had.
    #[error("no UDP socket for the tags of `{access_point}`")]
    Socket {
        /// Whose tags.
        access_point: DeviceId,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The pictures of earlier days cannot be had.
    #[error("the memory of the simulated tags cannot be used")]
    Memory(#[source] io::Error),
    /// There is no such tag.
    #[error("there is no simulated tag `{0}`")]
    UnknownTag(TagId),
    /// There is no such access point.
    #[error("there is no access point `{0}` among the simulated ones")]
    UnknownAccessPoint(DeviceId),
    /// The tags have been stopped.
    #[error("the simulated tags have been stopped")]
    Stopped,
}

/// Running tags. Cheap to clone; they run until the lifecycle stops.
#[derive(Clone, Debug)]
pub struct TagFleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cells: BTreeMap<DeviceId, CellHandle>,
    homes: BTreeMap<TagId, DeviceId>,
    seen: Seen,
}

#[derive(Debug)]
struct CellHandle {
    inputs: mpsc::Sender<Input>,
}

/// What the cells show to the outside.
#[derive(Clone, Debug, Default)]
struct Seen {
    tags: Arc<Mutex<BTreeMap<TagId, TagView>>>,
    counters: Arc<Mutex<BTreeMap<DeviceId, Counters>>>,
    changes: watch::Sender<u64>,
}

impl TagFleet {
    /// Binds the sockets and switches the tags on. They begin blank.
    pub async fn start(
        config: FleetConfig,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, FleetError> {
        TagFleet::begin(config, None, clock, lifecycle).await
    }

    /// The same with tags that begin with what they showed last, and keep in this folder what they show.
    pub async fn start_with_memory(
        config: FleetConfig,
        dir: &Path,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, FleetError> {
        let memory = Memory::open(dir).await.map_err(FleetError::Memory)?;
        TagFleet::begin(config, Some(memory), clock, lifecycle).await
    }

    async fn begin(
        config: FleetConfig,
        memory: Option<Memory>,
        clock: &Clock,
        lifecycle: &Lifecycle,
    ) -> Result<Self, FleetError> {
        let seen = Seen::default();
        let (mut cells, mut homes) = (BTreeMap::new(), BTreeMap::new());
        for (index, CellConfig { access_point, gateway, tags }) in config.cells.into_iter().enumerate() {
            let socket = bind_towards(gateway)
                .await
                .map_err(|source| FleetError::Socket { access_point: access_point.clone(), source })?;
            homes.extend(tags.iter().map(|tag| (tag.tag, access_point.clone())));
            let seed = config.seed.wrapping_add(index as u64);
            let cell = Cell::new(&tags, config.settings, config.air, seed, clock.now());
            let (inputs, waiting) = mpsc::channel(COMMANDS_MAX);
            let mut task = CellTask {
                access_point: access_point.clone(),
                cell,
                socket,
                gateway,
                memory: memory.clone(),
                seen: seen.clone(),
                clock: clock.clone(),
            };
            task.recall(&tags).await.map_err(FleetError::Memory)?;
            lifecycle.spawn(&format!("tags of {access_point}"), task.run(waiting, lifecycle.stopping()));
            cells.insert(access_point, CellHandle { inputs });
        }
        Ok(TagFleet(Arc::new(Inner { cells, homes, seen })))
    }

    /// What a tag shows; `None` when it shows nothing or is not there.
    pub fn shown(&self, tag: TagId) -> Option<Shown> {
        self.view(tag)?.shown
    }

    /// How a tag is.
    pub fn view(&self, tag: TagId) -> Option<TagView> {
        lock(&self.0.seen.tags).get(&tag).cloned()
    }

    /// How all tags are.
    pub fn views(&self) -> BTreeMap<TagId, TagView> {
        lock(&self.0.seen.tags).clone()
    }

    /// What happened so far, everywhere together.
    pub fn counters(&self) -> Counters {
        lock(&self.0.seen.counters).values().copied().fold(Counters::default(), Counters::plus)
    }

    /// Returns once the condition holds; it is looked at after every change.
    pub async fn until(&self, condition: impl Fn(&TagFleet) -> bool) {
        let mut changes = self.0.seen.changes.subscribe();
        while !condition(self) {
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    /// Does something to a tag.
    pub async fn command(&self, tag: TagId, command: Command) -> Result<(), FleetError> {
        let home = self.0.homes.get(&tag).ok_or(FleetError::UnknownTag(tag))?;
        self.tell(home, Input::Command(tag, command)).await
    }

    /// Takes a tag's battery out: it falls silent and keeps its picture.
    pub async fn switch_off(&self, tag: TagId) -> Result<(), FleetError> {
        self.command(tag, Command::SwitchOff).await
    }

    /// Puts it in again.
    pub async fn switch_on(&self, tag: TagId) -> Result<(), FleetError> {
        self.command(tag, Command::SwitchOn).await
    }

    /// Flips a bit in each of the next frames of a tag, so that their checksum is wrong.
    pub async fn damage_next(&self, tag: TagId, frames: u32) -> Result<(), FleetError> {
        self.command(tag, Command::DamageNext(frames)).await
    }

    /// Changes the air around one access point.
    pub async fn set_air(&self, access_point: &DeviceId, air: Knobs) -> Result<(), FleetError> {
        self.tell(access_point, Input::Air(air)).await
    }

    async fn tell(&self, access_point: &DeviceId, input: Input) -> Result<(), FleetError> {
        let cell = self.0.cells.get(access_point);
        let cell = cell.ok_or_else(|| FleetError::UnknownAccessPoint(access_point.clone()))?;
        cell.inputs.send(input).await.map_err(|_| FleetError::Stopped)
    }
}

impl Counters {
    fn plus(self, other: Counters) -> Counters {
        let air = crate::air::Tally {
            sent: self.air.sent + other.air.sent,
            delivered: self.air.delivered + other.air.delivered,
            lost: self.air.lost + other.air.lost,
            duplicated: self.air.duplicated + other.air.duplicated,
            held: self.air.held + other.air.held,
            damaged: self.air.damaged + other.air.damaged,
            overflowed: self.air.overflowed + other.air.overflowed,
        };
        Counters {
            frames_sent: self.frames_sent + other.frames_sent,
            frames_heard: self.frames_heard + other.frames_heard,
            frames_refused: self.frames_refused + other.frames_refused,
            messages_ignored: self.messages_ignored + other.messages_ignored,
            redraws: self.redraws + other.redraws,
            operations: self.operations + other.operations,
            gave_up: self.gave_up + other.gave_up,
            air,
        }
    }
}

impl Seen {
    /// Says what LEDs and pages do, as somebody in the aisle would see it.
    fn tell_operations(&self, changes: &[(TagId, TagView)]) {
        let before = lock(&self.tags);
        for (tag, view) in changes {
            let was = before.get(tag);
            if view.led != was.and_then(|was| was.led) {
                let led = view
                    .led
                    .map_or_else(|| "off".to_owned(), |(colour, flash)| format!("{colour:?}, {flash:?}"));
                info!(tag.id = %tag, led, "a tag's LED");
            }
            if view.page != was.and_then(|was| was.page) {
                let page = view.page.map_or_else(|| "its face".to_owned(), |page| format!("{page:?}"));
                info!(tag.id = %tag, page, "a tag's screen");
            }
        }
    }

    fn note(&self, access_point: &DeviceId, changes: Vec<(TagId, TagView)>, counters: Counters) {
        lock(&self.tags).extend(changes);
        lock(&self.counters).insert(access_point.clone(), counters);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not connected: a gateway that is down would then show as errors, and the air has none.
async fn bind_towards(gateway: SocketAddr) -> io::Result<UdpSocket> {
    let local = match gateway {
        SocketAddr::V4(gateway) if gateway.ip().is_loopback() => (Ipv4Addr::LOCALHOST, 0).into(),
        SocketAddr::V6(gateway) if gateway.ip().is_loopback() => (Ipv6Addr::LOCALHOST, 0).into(),
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(local).await
}

/// The tags of one access point on a socket.
struct CellTask {
    access_point: DeviceId,
    cell: Cell,
    socket: UdpSocket,
    gateway: SocketAddr,
    memory: Option<Memory>,
    seen: Seen,
    clock: Clock,
}

impl CellTask {
    async fn recall(&mut self, tags: &[TagConfig]) -> io::Result<()> {
        let Some(memory) = &mut self.memory else {
            return Ok(());
        };
        for TagConfig { tag, .. } in tags {
            if let Some(shown) = memory.recall(*tag).await? {
                self.cell.restore(*tag, shown);
            }
        }
        Ok(())
    }

    /// Keeps and shows what changed.
    async fn note(&mut self) {
        let changes = self.cell.take_changes();
        self.seen.tell_operations(&changes);
        if let Some(memory) = &mut self.memory {
            for (tag, view) in &changes {
                let Some(shown) = &view.shown else {
                    continue;
                };
                if let Err(cause) = memory.keep(*tag, shown).await {
                    warn!(tag.id = %tag, %cause, "a tag will have forgotten its picture after a restart");
                }
            }
        }
        self.seen.note(&self.access_point, changes, self.cell.counters());
    }

    async fn run(mut self, mut inputs: mpsc::Receiver<Input>, stopping: CancellationToken) -> io::Result<()> {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        self.note().await;
        loop {
            let input = tokio::select! {
                () = stopping.cancelled() => return Ok(()),
                Some(input) = inputs.recv() => input,
                () = self.clock.sleep_until_some(self.cell.deadline()) => Input::Tick,
                received = self.socket.recv_from(&mut buffer) => match received? {
                    (bytes, from) if from == self.gateway => Input::Heard(Bytes::copy_from_slice(&buffer[..bytes])),
                    // Nobody else is on this air.
                    _ => continue,
                },
            };
            let effects = self.cell.handle(input, self.clock.now());
            // Before anybody hears of it: what a tag has confirmed it must not forget.
            self.note().await;
            for effect in effects {
                let Effect::Transmit(datagram) = effect;
                if let Err(cause) = self.socket.send_to(&datagram, self.gateway).await {
                    warn!(access_point = %self.access_point, %cause, "a frame could not be sent, it is lost");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use wire::tag::RadioKey;

    use super::fake_access_point::FakeAccessPoint;
    use super::*;
    use crate::tag::Phase;

    const TAG: TagId = TagId::from_address(0x51);

    /// Everything a tag needs: an access point that wants version 1 on it, and a folder to remember.
    struct Aisle {
        lifecycle: Lifecycle,
        config: FleetConfig,
        memory: tempfile::TempDir,
    }

    impl Aisle {
        async fn new() -> Aisle {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let gateway = socket.local_addr().unwrap();
            let key = RadioKey::from_octets([3; 16]);
            let lifecycle = Lifecycle::new();
            lifecycle.spawn("access point", answer(socket, key.clone(), lifecycle.stopping()));
            let tags = vec![TagConfig { tag: TAG, key, width: 296, height: 128 }];
            let config = FleetConfig {
                cells: vec![CellConfig { access_point: "north".parse().unwrap(), gateway, tags }],
                settings: Settings { check_in_ms: 50, redraw_ms: 10, ..Settings::default() },
                air: Knobs::default(),
                seed: 1,
            };
            Aisle { lifecycle, config, memory: tempfile::tempdir().unwrap() }
        }

        /// Starts the tag for as long as `lifecycle` runs.
        async fn start(&self, lifecycle: &Lifecycle) -> TagFleet {
            let (config, dir) = (self.config.clone(), self.memory.path());
            TagFleet::start_with_memory(config, dir, &Clock::system(), lifecycle).await.unwrap()
        }

        async fn close(self) {
            self.lifecycle.stop();
            self.lifecycle.drain().await.unwrap();
        }
    }

    async fn answer(socket: UdpSocket, key: RadioKey, stopping: CancellationToken) -> io::Result<()> {
        let mut access_point = FakeAccessPoint::new(key, 1);
        let mut buffer = [0; 512];
        while let Some(received) = stopping.run_until_cancelled(socket.recv_from(&mut buffer)).await {
            let (bytes, from) = received?;
            let datagram = Bytes::copy_from_slice(&buffer[..bytes]);
            for reply in access_point.answer(&datagram, wire::Timestamp::EPOCH) {
                socket.send_to(&reply, from).await?;
            }
        }
        Ok(())
    }

    async fn until(fleet: &TagFleet, condition: impl Fn(&TagView) -> bool) {
        let reached = fleet.until(|fleet| fleet.view(TAG).is_some_and(|view| condition(&view)));
        tokio::time::timeout(Duration::from_secs(20), reached).await.unwrap();
    }

    fn version(view: &TagView) -> Option<u64> {
        view.shown.as_ref().map(|shown| shown.version)
    }

    #[tokio::test]
    async fn a_tag_on_a_real_socket_comes_to_show_its_face() {
        let aisle = Aisle::new().await;
        let fleet = aisle.start(&aisle.lifecycle).await;
        until(&fleet, |view| version(view) == Some(1)).await;
        assert_eq!(fleet.counters().redraws, 1);
        fleet.switch_off(TAG).await.unwrap();
        until(&fleet, |view| view.phase == Phase::Off).await;
        assert!(fleet.shown(TAG).is_some());
        let unknown = TagId::from_address(9);
        assert!(matches!(fleet.switch_on(unknown).await, Err(FleetError::UnknownTag(_))));
        aisle.close().await;
    }

    #[tokio::test]
    async fn a_tag_keeps_its_picture_across_a_restart() {
        let aisle = Aisle::new().await;
        let first = aisle.lifecycle.child();
        let fleet = aisle.start(&first).await;
        until(&fleet, |view| version(view) == Some(1)).await;
        first.stop();
        first.drain().await.unwrap();
        let fleet = aisle.start(&aisle.lifecycle).await;
        until(&fleet, |_| true).await;
        assert_eq!(version(&fleet.view(TAG).unwrap()), Some(1));
        assert_eq!(fleet.counters().redraws, 0);
        aisle.close().await;
    }
}
