//! The data folder belongs to one demo at a time: it holds a locked file, and the kernel takes the lock back however
//! the demo ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The locked file; it holds the process id of its holder, for people.
const LOCK_FILE: &str = "demo.lock";

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Somebody has it.
    #[error(
        "the data folder `{}` is in use by another demo{holder}: stop that one, or give this one a folder of its own with --data-dir DIR",
        folder.display()
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// Who has it, as ` (process 7)`; empty when that is not known.
        holder: String,
    },
    /// It cannot be made or written.
    #[error("the data folder `{}` cannot be used; give another with --data-dir DIR", folder.display())]
    Unusable {
        /// Which folder.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// As long as it lives, no other demo starts on the folder.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder if need be, and takes it.
    pub fn take(dir: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { folder: dir.to_owned(), source };
        make_private(dir).map_err(unusable)?;
        let path = dir.join(LOCK_FILE);
        // Not truncated when opened: it may be another demo's.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let folder = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
                return Err(FolderError::InUse { folder, holder: holder(&path) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(unusable)?;
        Ok(FolderLock { _file: file })
    }
}

fn holder(path: &Path) -> String {
    let process = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
    process.map(|process| format!(" (process {process})")).unwrap_or_default()
}

/// A folder for its owner only.
pub fn make_private(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_and_the_next_is_told_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new/folder");
        let held = FolderLock::take(&folder).unwrap();
        let complaint = FolderLock::take(&folder).unwrap_err().to_string();
        let expected = format!(
            "the data folder `{}` is in use by another demo (process {}): stop that one, or give this one a folder of \
             its own with --data-dir DIR",
            folder.canonicalize().unwrap().display(),
            std::process::id()
        );
        assert_eq!(complaint, expected);
        drop(held);
        FolderLock::take(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let complaint = FolderLock::take(&file).unwrap_err();
        assert!(complaint.to_string().ends_with("file` cannot be used; give another with --data-dir DIR"));
    }
}
