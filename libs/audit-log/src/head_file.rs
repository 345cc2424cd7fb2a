//! The mirror of the head: one line of JSON in a file elsewhere, so that a cut tail is noticed.
//!
//! It is replaced as a whole after each group of records, by rename, so it is always some head the log once had. It
//! may be behind the log by what was synced since; it is never ahead.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::chain::Head;
use crate::disk::sync_folder_of;
use crate::error::{AuditError, Broken, Damage};
use crate::record::Seq;

/// Largest head file, in octets.
const FILE_BYTES_MAX: u64 = 4096;

/// The head that was mirrored last; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Head>, AuditError> {
    let octets = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuditError::io("read", path)(error)),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => Vec::new(),
        Ok(_) => fs::read(path).map_err(AuditError::io("read", path))?,
    };
    let unreadable =
        |_| Broken { file: path.display().to_string(), line: 1, seq: Seq::ZERO, what: Damage::HeadFile };
    Ok(Some(serde_json::from_slice(&octets).map_err(unreadable)?))
}

/// Replaces the head file.
pub(crate) fn write(path: &Path, head: &Head) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    file.write_all(serde_json::to_string(head)?.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_folder_of(path)
}
