//! How long a start takes with many queued messages, and how much memory they need: after an orderly stop, where the
//! checkpoint says everything, and without the checkpoint, where all of the log is read.
//!
//! `cargo run --release -p broker --example recovery_time -- [MESSAGES]`

use std::path::Path;
use std::sync::Arc;

use broker::message::{Message, Qos};
use broker::store::record::Target;
use broker::store::{Epoch, Opened, Store};
use service_kit::clock::Stopwatch;
use wire::Timestamp;

const CLIENTS: u32 = 1000;
const PAYLOAD_BYTES: usize = 256;

fn main() -> anyhow::Result<()> {
    let messages: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = std::env::temp_dir().join(format!("recovery-time-{}", std::process::id()));
    let outcome = runtime.block_on(measure(&dir, messages));
    std::fs::remove_dir_all(&dir)?;
    outcome
}

async fn measure(dir: &Path, messages: u64) -> anyhow::Result<()> {
    let empty = resident_kib()?;
    let filling = Stopwatch::start();
    let opened = Store::open(dir)?;
    fill(&opened, messages).await?;
    say(&format!(
        "{messages} messages of {PAYLOAD_BYTES} octets for {CLIENTS} clients in {:?}",
        filling.elapsed()
    ));
    close(opened).await?;
    start(dir, "with checkpoint", empty).await?;
    std::fs::remove_file(dir.join("log/checkpoint"))?;
    start(dir, "without checkpoint", empty).await
}

async fn fill(opened: &Opened, messages: u64) -> anyhow::Result<()> {
    let mut last = Epoch::PAST;
    for number in 0..messages {
        let message = Message::new("news/of/today", &[7; PAYLOAD_BYTES], Qos::AtLeastOnce, Timestamp::EPOCH);
        let client = u32::try_from(number % u64::from(CLIENTS))?;
        let target = Target { client, mailbox: false, qos: Qos::AtLeastOnce, retain: false };
        (_, last) = opened.store.submit_message(&Arc::new(message), None, vec![target], None);
        if opened.store.is_full() {
            opened.store.progress().await;
        }
    }
    opened.store.durable(last).await?;
    Ok(())
}

async fn start(dir: &Path, how: &str, empty: u64) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::start();
    let opened = Store::open(dir)?;
    let elapsed = stopwatch.elapsed();
    let recovered = &opened.recovered;
    say(&format!(
        "{how}: {elapsed:?}, {} messages, checkpoint {} KiB, log read {} KiB, resident {} KiB more than empty",
        recovered.unfinished.len(),
        recovered.checkpoint_bytes / 1024,
        recovered.read_bytes / 1024,
        resident_kib()?.saturating_sub(empty),
    ));
    close(opened).await
}

async fn close(opened: Opened) -> anyhow::Result<()> {
    opened.store.close();
    opened.ended.await??;
    Ok(())
}

/// Resident memory of this process (`VmRSS`).
fn resident_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or("0").trim().trim_end_matches(" kB").parse()?)
}

#[expect(clippy::print_stdout, reason = "a program for people, who read its figures")]
fn say(line: &str) {
    println!("{line}");
}
