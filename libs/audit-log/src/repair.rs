//! Moving aside what an interrupted write left behind.
//!
//! The octets are copied to `<file>.torn` and synced before they are cut off, so nothing is lost by repairing, not
//! even when the repair is interrupted.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::disk::sync_folder_of;
use crate::error::AuditError;
use crate::scan::Torn;

/// What was cut off the end of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which file.
    pub file: String,
    /// How many octets.
    pub bytes: usize,
    /// The file that has them now, at its end.
    pub kept_in: String,
}

pub(crate) fn set_aside(dir: &Path, torn: &Torn) -> Result<Cut, AuditError> {
    let kept_in = format!("{}.torn", torn.file);
    keep(&dir.join(&kept_in), &torn.octets)?;
    let path = dir.join(&torn.file);
    let file = OpenOptions::new().write(true).open(&path).map_err(AuditError::io("open", &path))?;
    file.set_len(torn.offset).and_then(|()| file.sync_all()).map_err(AuditError::io("shorten", &path))?;
    Ok(Cut { file: torn.file.clone(), bytes: torn.octets.len(), kept_in })
}

fn keep(path: &Path, octets: &[u8]) -> Result<(), AuditError> {
    let opened = OpenOptions::new().append(true).create(true).open(path);
    let mut file = opened.map_err(AuditError::io("open", path))?;
    file.write_all(octets)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder_of(path))
        .map_err(AuditError::io("write", path))
}
