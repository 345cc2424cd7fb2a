//! Nothing is acknowledged before it is on disk: while the disk holds everything back, the answer does not come.
//!
//! A message for an absent client keeps the disk busy; what is asked for then waits behind it.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use broker::access::BuiltIn;
use broker::listen::{self, Transport};
use broker::metrics::ThreadMetrics;
use broker::store::Store;
use broker::store::disk::{Disk, DiskFile};
use broker::threads::Threads;
use broker::{Broker, Config};
use clap::Parser;
use service_kit::clock::Clock;
use service_kit::lifecycle::Lifecycle;
use service_kit::metrics::Metrics;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Connect, Octets, PROVISION, command_line, publish, subscribe, unsubscribe};

/// Turns of the broker's thread that a client is given.
pub const TURNS: usize = 20;

/// Closed while the disk takes nothing.
#[derive(Debug, Default)]
pub struct Barrier {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Barrier {
    pub fn set(&self, is_closed: bool) {
        *self.is_closed.lock().unwrap() = is_closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        drop(self.opened.wait_while(self.is_closed.lock().unwrap(), |closed| *closed).unwrap());
    }
}

/// A folder whose files are written and synced when the barrier lets them.
#[derive(Debug)]
pub struct Held {
    pub disk: Arc<dyn Disk>,
    pub barrier: Arc<Barrier>,
}

#[derive(Debug)]
struct HeldFile {
    file: Arc<dyn DiskFile>,
    barrier: Arc<Barrier>,
}

impl Held {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HeldFile { file, barrier: self.barrier.clone() })
    }
}

impl Disk for Held {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(self.disk.open(name)?))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }
}

impl DiskFile for HeldFile {
    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }
    fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_at(octets, offset)
    }
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.barrier.pass();
        self.file.write_at(octets, offset)
    }
    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.barrier.pass();
        self.file.sync()
    }
}

/// A broker on such a disk.
struct Stage {
    address: std::net::SocketAddr,
    barrier: Arc<Barrier>,
    lifecycle: Lifecycle,
    threads: Threads,
    dir: TempDir,
}

impl Stage {
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("provision.toml"), PROVISION).unwrap();
        Self::set_in(dir, &[])
    }

    /// In the standard profile, where lasting sessions have QoS 2.
    fn standard() -> Self {
        Self::set_in(tempfile::tempdir().unwrap(), &["--profile", "standard"].map(str::to_owned))
    }

    fn set_in(dir: TempDir, arguments: &[String]) -> Self {
        let config = Config::parse_from(command_line(dir.path(), arguments));
        let barrier = Arc::new(Barrier::default());
        let held = |config: &Config| {
            let disk = Store::disk(&config.data_dir)?;
            Ok(Arc::new(Held { disk, barrier: barrier.clone() }) as Arc<dyn Disk>)
        };
        let (rules, metrics) = (Arc::new(BuiltIn), Metrics::new("broker"));
        let opened = Broker::open_on(held, config, Clock::system(), rules, &metrics).unwrap();
        let broker = opened.broker;
        broker.fire_recovered(opened.wills);
        let lifecycle = Lifecycle::new();
        let threads = Threads::start(Some(1), lifecycle.clone(), ThreadMetrics::default()).unwrap();
        let homes = threads.homes();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = homes.entrance().clone();
        let _there = entrance.enter();
        let listener = TcpListener::from_std(listener).unwrap();
        let stop = lifecycle.stopping();
        lifecycle.spawn("tcp", listen::accept(broker, listener, Transport::Tcp, homes, stop));
        Stage { address, barrier, lifecycle, threads, dir }
    }

    /// What a kill would leave now, started again.
    fn as_killed_now(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut folders = vec![(self.dir.path().to_owned(), dir.path().to_owned())];
        while let Some((from, to)) = folders.pop() {
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(&from).unwrap().map(Result::unwrap) {
                let copy = to.join(entry.file_name());
                if entry.file_type().unwrap().is_dir() {
                    folders.push((entry.path(), copy));
                } else {
                    std::fs::copy(entry.path(), copy).unwrap();
                }
            }
        }
        Self::set_in(dir, &[])
    }

    async fn connect(&self, connect: &Connect) -> Octets {
        let mut client = Octets::open(self.address).await;
        client.exchange(&connect.encode(), &[0x20, 2, 0, 0]).await;
        client
    }

    async fn persistent(&self, device: &str) -> Octets {
        self.connect(&Connect { clean: false, ..Connect::of(device) }).await
    }

    /// From here on the disk holds back what it is told; it is busy with something else already.
    async fn hold(&self) -> Octets {
        let mut absent = self.persistent("absent").await;
        absent.subscribe(&[("news/absent", 1)], &[1]).await;
        absent.disconnect().await;
        let mut busy = self.connect(&Connect::of("busy")).await;
        self.barrier.set(true);
        busy.send(&publish("news/absent", "x", 1, 1)).await;
        for _ in 0..TURNS {
            busy.expect_silence().await;
        }
        busy
    }

    /// CONNACK comes when the disk lets go, and not before.
    async fn admits_when_durable(self, connect: &Connect, session_present: u8) {
        let mut busy = self.hold().await;
        let mut client = Octets::open(self.address).await;
        client.send(&connect.encode()).await;
        nothing_comes(&mut client, &mut busy).await;
        self.barrier.set(false);
        client.expect(&[0x20, 2, session_present, 0]).await;
        self.end().await;
    }

    async fn end(self) {
        self.lifecycle.stop();
        self.lifecycle.drain().await.unwrap();
        self.threads.finish();
    }

    /// `sent` is answered with `answer` when the disk lets go, and not before.
    async fn answers_when_durable(self, client: &mut Octets, sent: &[u8], answer: &[u8]) {
        let mut busy = self.hold().await;
        client.send(sent).await;
        nothing_comes(client, &mut busy).await;
        self.barrier.set(false);
        client.expect(answer).await;
        busy.expect(&[0x40, 2, 0, 1]).await;
        self.end().await;
    }
}

/// All connections live on one thread, so each answer to a ping means that it has had a turn.
pub async fn nothing_comes(client: &mut Octets, busy: &mut Octets) {
    for _ in 0..TURNS {
        tokio::select! {
            biased;
            packet = client.packet() => panic!("too early: {packet:?}"),
            () = busy.expect_silence() => {}
        }
    }
}

#[tokio::test]
async fn connack_of_a_new_lasting_session_waits_for_the_disk() {
    let lasting = Connect { clean: false, ..Connect::of("a") };
    Stage::set().admits_when_durable(&lasting, 0).await;
}

#[tokio::test]
async fn connack_to_a_client_with_a_will_waits_for_the_disk() {
    let will = Some(("news/wills".to_owned(), "gone".to_owned(), 1));
    Stage::set().admits_when_durable(&Connect { will, ..Connect::of("a") }, 0).await;
}

#[tokio::test]
async fn connack_of_a_clean_start_that_ends_a_session_waits_for_the_disk() {
    let stage = Stage::set();
    let mut old = stage.persistent("a").await;
    old.subscribe(&[("news/x", 1)], &[1]).await;
    old.disconnect().await;
    stage.admits_when_durable(&Connect::of("a"), 0).await;
}

#[tokio::test]
async fn suback_of_a_lasting_session_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.persistent("a").await;
    let asked = subscribe(7, &[("news/x", 1)]);
    stage.answers_when_durable(&mut client, &asked, &[0x90, 3, 0, 7, 1]).await;
}

#[tokio::test]
async fn unsuback_of_a_lasting_session_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.persistent("a").await;
    client.subscribe(&[("news/x", 1)], &[1]).await;
    let asked = unsubscribe(7, &["news/x"]);
    stage.answers_when_durable(&mut client, &asked, &[0xB0, 2, 0, 7]).await;
}

#[tokio::test]
async fn puback_of_a_message_for_a_lasting_session_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.connect(&Connect::of("a")).await;
    let asked = publish("news/absent", "y", 1, 7);
    stage.answers_when_durable(&mut client, &asked, &[0x40, 2, 0, 7]).await;
}

#[tokio::test]
async fn puback_of_a_p2p_message_of_a_lasting_sender_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.persistent("a").await;
    stage.connect(&Connect::of("b")).await.disconnect().await;
    let asked = publish("down/p2p/GID_TEST@@@b", "y", 1, 7);
    stage.answers_when_durable(&mut client, &asked, &[0x40, 2, 0, 7]).await;
}

#[tokio::test]
async fn puback_of_a_retained_message_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.connect(&Connect::of("a")).await;
    let mut asked = publish("news/kept", "y", 1, 7);
    asked[0] |= 1;
    stage.answers_when_durable(&mut client, &asked, &[0x40, 2, 0, 7]).await;
}

#[tokio::test]
async fn pubrec_to_a_lasting_sender_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.persistent("a").await;
    let asked = publish("news/x", "y", 2, 7);
    stage.answers_when_durable(&mut client, &asked, &[0x50, 2, 0, 7]).await;
}

#[tokio::test]
async fn pubcomp_to_a_lasting_sender_waits_for_the_disk() {
    let stage = Stage::set();
    let mut client = stage.persistent("a").await;
    client.exchange(&publish("news/x", "y", 2, 7), &[0x50, 2, 0, 7]).await;
    stage.answers_when_durable(&mut client, &[0x62, 2, 0, 7], &[0x70, 2, 0, 7]).await;
}

#[tokio::test]
async fn pubrel_to_a_lasting_receiver_waits_for_the_disk() {
    let stage = Stage::standard();
    let mut reader = stage.persistent("reader").await;
    reader.subscribe(&[("news/x", 2)], &[2]).await;
    let mut writer = stage.connect(&Connect::of("writer")).await;
    writer.exchange(&publish("news/x", "y", 2, 7), &[0x50, 2, 0, 7]).await;
    let id = reader.receive_only().await.packet_id.to_be_bytes();
    stage.answers_when_durable(&mut reader, &[0x50, 2, id[0], id[1]], &[0x62, 2, id[0], id[1]]).await;
}

#[tokio::test]
async fn what_a_clean_client_publishes_for_nobody_who_lasts_does_not_wait() {
    let stage = Stage::set();
    let mut client = stage.connect(&Connect::of("a")).await;
    let _busy = stage.hold().await;
    client.exchange(&publish("news/x", "y", 1, 7), &[0x40, 2, 0, 7]).await;
    stage.barrier.set(false);
}

#[tokio::test]
async fn a_will_is_not_forgotten_before_its_message_is_on_disk() {
    let stage = Stage::set();
    let mut reader = stage.persistent("reader").await;
    reader.subscribe(&[("news/wills", 1)], &[1]).await;
    reader.disconnect().await;
    let will = Some(("news/wills".to_owned(), "gone".to_owned(), 1));
    let mortal = stage.connect(&Connect { will, ..Connect::of("mortal") }).await;
    let mut other = stage.connect(&Connect::of("other")).await;
    stage.barrier.set(true);
    mortal.vanish();
    for _ in 0..TURNS {
        other.expect_silence().await;
    }
    let after = stage.as_killed_now();
    stage.barrier.set(false);
    let (mut reader, connack) = {
        let mut reader = Octets::open(after.address).await;
        reader.send(&Connect { clean: false, ..Connect::of("reader") }.encode()).await;
        let connack = reader.packet().await;
        (reader, connack)
    };
    assert_eq!(connack, [0x20, 2, 1, 0]);
    assert_eq!(reader.receive().await.payload, "gone");
}
