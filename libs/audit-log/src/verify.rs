//! Reading everything again and comparing.

use std::path::Path;

use crate::chain::Head;
use crate::error::AuditError;
use crate::{head_file, scan};

/// What was found to be as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records.
    pub records: u64,
    /// Files with records.
    pub files: usize,
    /// The end of the chain.
    pub head: Head,
    /// How many of the newest records the head file lacks; `None` when there was no head file to compare with.
    pub mirror_behind: Option<u64>,
    /// Octets at the end that are no record yet: a write in progress, or one that was interrupted.
    pub unfinished_bytes: usize,
}

/// Checks every record, the manifest and the head file; changes nothing and may run beside a writer.
///
/// The error names the first broken record. A head file that is named but not there is no error by itself: see
/// [`Verified::mirror_behind`].
pub fn verify(dir: &Path, head_file: Option<&Path>) -> Result<Verified, AuditError> {
    let mirror = head_file.map(head_file::read).transpose()?.flatten();
    let scan = scan::scan(dir, mirror.as_ref())?;
    Ok(Verified {
        records: scan.head.seq.as_u64(),
        files: scan.files,
        head: scan.head,
        mirror_behind: mirror.map(|mirror| scan.head.seq.as_u64() - mirror.seq.as_u64()),
        unfinished_bytes: scan.torn.iter().map(|torn| torn.octets.len()).sum(),
    })
}
