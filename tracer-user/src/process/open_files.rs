//! Paths of a process's open files.

use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use nix::sys::stat::{major, minor};

use super::Process;

/// `(deleted)` ends the link of a file that has no name any more (`d_path`, fs/d_path.c).
const DELETED: &str = " (deleted)";

impl Process {
    /// The path behind a descriptor, if it is open and is that inode. `device` is the kernel's `s_dev`.
    pub fn path_of_fd(&self, fd: u32, inode: u64, device: u32) -> Option<String> {
        let link = self.proc_path(&format!("fd/{fd}"));
        let is = |link: &Path| fs::metadata(link).is_ok_and(|metadata| is_file(&metadata, inode, device));
        // Looked at before and after: what the link said in between is true.
        if !is(&link) {
            return None;
        }
        let target = fs::read_link(&link).ok()?;
        if !is(&link) {
            return None;
        }
        let text = target.to_string_lossy();
        Some(text.strip_suffix(DELETED).unwrap_or(&text).to_owned())
    }
}

fn is_file(metadata: &Metadata, inode: u64, device: u32) -> bool {
    // Where there is no device (btrfs, overlayfs), `st_dev` may be another one than the kernel's own (both have
    // the major number 0).
    let of_kernel = (u64::from(device >> 20), u64::from(device & 0xf_ffff));
    let of_user = (major(metadata.dev()), minor(metadata.dev()));
    metadata.ino() == inode && (of_kernel == of_user || of_kernel.0 == 0 && of_user.0 == 0)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn a_descriptor_has_the_path_of_its_inode_only() {
        let process = Process::open(std::process::id()).unwrap();
        let file = fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        let metadata = file.metadata().unwrap();
        let device = (major(metadata.dev()) << 20 | minor(metadata.dev())) as u32;
        let fd = file.as_raw_fd() as u32;
        let path = process.path_of_fd(fd, metadata.ino(), device).unwrap();
        assert!(path.ends_with("/tracer-user/Cargo.toml"), "{path}");
        assert_eq!(process.path_of_fd(fd, metadata.ino() + 1, device), None);
        drop(file);
        assert_ne!(
            process.path_of_fd(fd, metadata.ino(), device),
            Some(String::new())
        );
    }
}
