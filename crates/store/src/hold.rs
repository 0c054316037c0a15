//! Holds: what no two processes may have at once, and who has it now.

use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use crate::{Result, disk};

/// Attempts to take a hold, and the pause between two: someone may be looking whether it is held.
const ATTEMPTS: (usize, Duration) = (20, Duration::from_millis(5));

/// The sign that a process has something to itself; given back when it is dropped or the process ends.
#[derive(Debug)]
pub struct Hold {
    _lock: fs::File,
}

impl Hold {
    /// Takes the lock at `path`; `None` while another process has it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>> {
        for _ in 0..ATTEMPTS.0 {
            if let Some(lock) = disk::try_lock(path)? {
                return Ok(Some(Self { _lock: lock }));
            }
            std::thread::sleep(ATTEMPTS.1);
        }
        Ok(None)
    }
}
