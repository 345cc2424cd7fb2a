//! The lock of a folder: two writers would break the chain.

use std::fs::{self, File};
use std::path::Path;

use crate::error::AuditError;

const LOCK_FILE: &str = "lock";

/// Held as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes it; makes the folder when it is not there.
    pub(crate) fn take(dir: &Path) -> Result<Self, AuditError> {
        let path = dir.join(LOCK_FILE);
        fs::create_dir_all(dir).map_err(AuditError::io("make", dir))?;
        let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(AuditError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(fs::TryLockError::WouldBlock) => Err(AuditError::InUse(dir.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(AuditError::io("lock", &path)(error)),
        }
    }
}

impl Drop for Lock {
    /// Closing is not enough: a process that is being started has the file, too, until it becomes another program.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_let_go_is_free_although_a_child_has_the_file_still() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let of_a_child = lock.0.try_clone().unwrap();
        assert!(matches!(Lock::take(dir.path()), Err(AuditError::InUse(_))));
        drop(lock);
        Lock::take(dir.path()).unwrap();
        drop(of_a_child);
    }
}
