//! What a process costs: CPU time, memory, open files, from `/proc`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Kernel ticks per second on every Linux this runs on (`getconf CLK_TCK`).
const TICKS_PER_SEC: u64 = 100;

/// CPU time from here on.
///
/// It adds up the nanoseconds of each thread (`/proc/<pid>/task/*/schedstat`); a kernel without them has ticks of
/// 10 ms (`/proc/<pid>/stat`). What a thread did that ends in between is not seen.
#[derive(Clone, Debug)]
pub struct CpuMeter {
    pid: u32,
    before: Reading,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reading {
    Threads(BTreeMap<String, u64>),
    Total(Duration),
}

impl CpuMeter {
    /// Starts to measure; `None` when there is no such process.
    pub fn start(pid: u32) -> Option<Self> {
        Some(CpuMeter { pid, before: read(pid)? })
    }

    /// User and system time since the start; `None` when the process is gone.
    pub fn spent(&self) -> Option<Duration> {
        spent(&self.before, &read(self.pid)?)
    }
}

fn spent(before: &Reading, after: &Reading) -> Option<Duration> {
    match (before, after) {
        (Reading::Threads(before), Reading::Threads(after)) => {
            let grown =
                after.iter().map(|(thread, nanos)| nanos - before.get(thread).unwrap_or(&0).min(nanos));
            Some(Duration::from_nanos(grown.sum()))
        }
        (Reading::Total(before), Reading::Total(after)) => Some(after.saturating_sub(*before)),
        (Reading::Threads(_), Reading::Total(_)) | (Reading::Total(_), Reading::Threads(_)) => None,
    }
}

fn read(pid: u32) -> Option<Reading> {
    match threads(pid) {
        Some(threads) if !threads.is_empty() => Some(Reading::Threads(threads)),
        Some(_) | None => Some(Reading::Total(parse_stat(&text(pid, "stat")?)?)),
    }
}

fn threads(pid: u32) -> Option<BTreeMap<String, u64>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let task = task.ok()?;
        // A thread may end while the list is read.
        let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
        threads.insert(task.file_name().to_string_lossy().into_owned(), parse_schedstat(&text)?);
    }
    Some(threads)
}

fn text(pid: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}")).join(name)).ok()
}

/// Nanoseconds on a CPU come first.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// proc(5): the name may hold spaces and parentheses, so fields are counted behind its last parenthesis.
fn parse_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SEC))
}

/// Whether a process runs: one of its threads does. Until the last has ended, the process keeps its ports, even when
/// its first thread waits already for the parent to ask how it ended.
pub fn is_running(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut tasks = tasks.into_iter().flatten().flatten();
    tasks.any(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(|stat| is_alive(&stat)))
}

/// Neither a zombie nor dead (proc(5), the third field).
fn is_alive(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with(['Z', 'X', 'x']))
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    parse_status(&text(pid, "status")?)
}

fn parse_status(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// How many files a process may have open.
pub fn open_files_max(pid: u32) -> Option<u64> {
    parse_limits(&text(pid, "limits")?)
}

fn parse_limits(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// How many files a process has open.
pub fn open_files(pid: u32) -> u64 {
    let listed = std::fs::read_dir(format!("/proc/{pid}/fd"));
    listed.map_or(0, |files| u64::try_from(files.count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourteenth_and_fifteenth_field_count() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1";
        assert_eq!(parse_stat(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse_schedstat("1500 20 3\n"), Some(1500));
    }

    #[test]
    fn threads_that_come_and_go_do_not_count_twice() {
        let reading = |threads: &[(&str, u64)]| {
            Reading::Threads(threads.iter().map(|(id, nanos)| ((*id).to_owned(), *nanos)).collect())
        };
        let before = reading(&[("1", 100), ("2", 50)]);
        let after = reading(&[("1", 130), ("3", 7)]);
        assert_eq!(spent(&before, &after), Some(Duration::from_nanos(37)));
    }

    #[test]
    fn memory_and_files_are_read_from_their_lines() {
        assert_eq!(parse_status("VmHWM:\t 9 kB\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
        assert_eq!(parse_limits("Max open files            1024   4096   files\n"), Some(1024));
        assert_eq!(parse_limits("Max open files            unlimited  unlimited files\n"), Some(u64::MAX));
    }

    #[test]
    fn a_thread_that_waits_for_its_parent_does_not_run() {
        let alive = ["7 (a) Z) D 1", "7 (a) S 1", "7 (a) R 1"].map(is_alive);
        let ended = ["7 (a) Z 1", "7 (a) X 1", ""].map(is_alive);
        assert_eq!((alive, ended), ([true; 3], [false; 3]));
    }

    #[test]
    fn this_process_runs_and_costs_something() {
        let own = std::process::id();
        assert!(is_running(own));
        assert!(CpuMeter::start(own).unwrap().spent().is_some());
        assert!(resident_bytes(own).unwrap() > 0 && open_files(own) > 0 && open_files_max(own).unwrap() > 0);
        let nobody = u32::MAX;
        assert!(CpuMeter::start(nobody).is_none() && !is_running(nobody));
    }
}
