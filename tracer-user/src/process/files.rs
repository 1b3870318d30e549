//! The files behind mappings, also where their path means nothing to us: deleted, replaced,
//! or in a container.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::{Mapping, Process};

/// Why a mapped file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the mapping at {0:#x} has no file")]
    NoFile(u64),
    #[error("cannot open {path}, mapped by process {pid}: {error} (run as root)")]
    Open {
        path: PathBuf,
        pid: u32,
        error: std::io::Error,
    },
    #[error("{path} is not the file that process {pid} has mapped (it was replaced): restart the process")]
    Replaced { path: PathBuf, pid: u32 },
}

impl Process {
    /// `/proc/PID/map_files/START-END`: opens the very file that is mapped, whatever its name
    /// is now. Following it needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE (proc_pid_map_files(5)).
    pub fn mapping_link(&self, mapping: &Mapping) -> PathBuf {
        self.proc_path(&format!("map_files/{:x}-{:x}", mapping.start, mapping.end))
    }

    /// Opens the file behind a mapping.
    pub fn open_mapping(&self, mapping: &Mapping) -> Result<File, OpenError> {
        let path = match &mapping.path {
            Some(path) if mapping.is_file() => path,
            _ => return Err(OpenError::NoFile(mapping.start)),
        };
        if let Ok(file) = File::open(self.mapping_link(mapping)) {
            return Ok(file);
        }
        let mut seen = self.proc_path("root").into_os_string();
        seen.push(path);
        let seen = PathBuf::from(seen);
        let failed = |error| OpenError::Open {
            path: seen.clone(),
            pid: self.pid,
            error,
        };
        // O_NONBLOCK: a FIFO put in the file's place must not hold us.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&seen)
            .map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let dev = metadata.dev();
        let dev = (libc::major(dev), libc::minor(dev));
        if metadata.ino() != mapping.inode || dev != mapping.dev || !metadata.is_file() {
            return Err(OpenError::Replaced {
                path: seen,
                pid: self.pid,
            });
        }
        Ok(file)
    }
}
