//! What the disk does by itself, for comparison: fsync after fsync, and a plain append-only log with group commit.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use service_kit::clock::Stopwatch;

use super::fault::LoadError;
use super::figures::per;

/// How long each of the two is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// What a log keeps beside a payload: lengths, checksum, topic, receiver.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// Largest group.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the disk does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DiskReport {
    /// One record appended and synced after the other.
    pub fsyncs_per_second: f64,
    /// Records of a log that writes and syncs a whole group at a time.
    pub log_records_per_second: f64,
    /// Records of a group: everything that is outstanding.
    pub log_group: u64,
}

impl fmt::Display for DiskReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiskReport { fsyncs_per_second, log_records_per_second, log_group } = self;
        write!(out, "disk: {fsyncs_per_second:.0} fsyncs/s, ")?;
        write!(out, "{log_records_per_second:.0} records/s of a plain log in groups of {log_group}")
    }
}

/// A file that is removed in the end.
struct Scratch(PathBuf, File);

impl Drop for Scratch {
    fn drop(&mut self) {
        // It is ours and of no use to anybody.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Scratch {
    fn new(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("load-disk-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        Ok(Scratch(path, file))
    }

    /// Appends and syncs for so long; how often, and how long it took.
    fn sync_for(&mut self, octets: &[u8], time: Duration) -> io::Result<(u64, Duration)> {
        let watch = Stopwatch::start();
        let mut count = 0;
        while watch.elapsed() < time {
            self.1.write_all(octets)?;
            self.1.sync_data()?;
            count += 1;
        }
        Ok((count, watch.elapsed()))
    }
}

/// Measures in `folder`, with records for payloads of that size, in groups of `group`. Nothing else should run.
pub fn measure(folder: &Path, payload_bytes: usize, group: u64) -> Result<DiskReport, LoadError> {
    measure_for(folder, payload_bytes, group, MEASURED)
        .map_err(|source| LoadError::Disk { folder: folder.display().to_string(), source })
}

fn measure_for(folder: &Path, payload_bytes: usize, group: u64, time: Duration) -> io::Result<DiskReport> {
    let record = vec![0x55; payload_bytes + RECORD_OVERHEAD_BYTES];
    let most = GROUP_BYTES_MAX / record.len();
    let in_group = usize::try_from(group).unwrap_or(most).clamp(1, most);
    let (records, group) = (record.repeat(in_group), u64::try_from(in_group).unwrap_or(group));
    let (syncs, elapsed) = Scratch::new(folder)?.sync_for(&record, time)?;
    let fsyncs_per_second = per(syncs, elapsed);
    let (groups, elapsed) = Scratch::new(folder)?.sync_for(&records, time)?;
    Ok(DiskReport {
        fsyncs_per_second,
        log_records_per_second: per(groups * group, elapsed),
        log_group: group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let report = measure_for(folder.path(), 128, 10, Duration::from_millis(1)).unwrap();
        assert!(report.fsyncs_per_second > 0.0 && report.log_records_per_second > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let fault = measure(Path::new("/no/such/folder"), 128, 10).unwrap_err().to_string();
        assert!(fault.starts_with("nothing can be written in `/no/such/folder`"), "{fault}");
    }
}
