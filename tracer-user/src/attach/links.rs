//! `uprobe_multi` links: many probes in one file by one system call; closing the descriptor
//! takes them out again, whatever way the tracer ends. Where the kernel has none, [perf events](super::perf).

use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
};

use aya_obj::generated::{BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd};
use thiserror::Error;

use super::{loader::sys_bpf, outlive::outliving, perf, trial::has_multi};

/// `BPF_TRACE_UPROBE_SESSION` (include/uapi/linux/bpf.h at v6.13), which aya-obj 0.3 does not know.
const UPROBE_SESSION: u32 = 57;

/// Entry or return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Entry,
    Return,
    /// Both, by one program that decides at each entry whether that return is probed: only where
    /// [`has_sessions`](super::has_sessions), and only programs that were loaded for it.
    Session,
}

impl Probe {
    /// What the kernel calls a program and a link of this kind.
    pub(super) fn attach_type(self) -> u32 {
        match self {
            Self::Entry | Self::Return => bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32,
            Self::Session => UPROBE_SESSION,
        }
    }
}

/// One place to probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// Offset in the file.
    pub offset: u64,
    /// [`tracer_common::cookie::SiteCookie::pack`].
    pub cookie: u64,
}

/// Why probes could not be put in.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("{path}: not a path the kernel can take")]
    Path { path: PathBuf },
    #[error("cannot probe {path} ({points} sites): {error}{}", hint(.error))]
    Refused {
        path: PathBuf,
        points: usize,
        error: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ESRCH) => "; the process ended",
        Some(libc::EPERM) => "; run as root, or with CAP_BPF and CAP_PERFMON",
        Some(libc::EMFILE) => {
            "; this kernel needs a descriptor for each (before Linux 6.6): raise `ulimit -n`, or trace less with -e"
        }
        _ => "",
    }
}

/// Probes that are in. Dropping it takes them out.
#[derive(Debug)]
pub struct Link {
    /// One for all probes, or one for each.
    descriptors: Vec<Option<OwnedFd>>,
    /// Descriptors of perf events.
    are_events: bool,
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.are_events {
            perf::close(&mut self.descriptors);
        } else {
            outliving(&mut || self.descriptors.iter_mut().for_each(|one| drop(one.take())));
        }
    }
}

impl Link {
    /// Puts `program` at every point of the file at `path`, for process `pid` only; 0: for all.
    pub fn attach(
        program: BorrowedFd<'_>,
        probe: Probe,
        path: &Path,
        points: &[Point],
        pid: u32,
    ) -> Result<Self, LinkError> {
        let c_path = CString::new(path.as_os_str().as_bytes()).map_err(|_| LinkError::Path {
            path: path.to_owned(),
        })?;
        let refused = |error| LinkError::Refused {
            path: path.to_owned(),
            points: points.len(),
            error,
        };
        if has_multi() {
            let descriptor = multi(program, probe, &c_path, points, pid).map_err(refused)?;
            return Ok(Self {
                descriptors: vec![Some(descriptor)],
                are_events: false,
            });
        }
        let mut link = Self {
            descriptors: Vec::new(),
            are_events: true,
        };
        // Where it fails, what was put in goes out again.
        perf::attach(program, probe, &c_path, points, pid, &mut link.descriptors).map_err(refused)?;
        Ok(link)
    }
}

/// `BPF_LINK_CREATE` for `uprobe_multi`.
pub(super) fn multi(
    program: BorrowedFd<'_>,
    probe: Probe,
    path: &CStr,
    points: &[Point],
    pid: u32,
) -> io::Result<OwnedFd> {
    let offsets: Vec<u64> = points.iter().map(|point| point.offset).collect();
    let cookies: Vec<u64> = points.iter().map(|point| point.cookie).collect();
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    attr.link_create.attach_type = probe.attach_type();
    // SAFETY: as above; this view is the one BPF_LINK_CREATE reads for uprobe_multi.
    let multi = unsafe { &mut attr.link_create.__bindgen_anon_3.uprobe_multi };
    multi.path = path.as_ptr() as u64;
    multi.offsets = offsets.as_ptr() as u64;
    multi.cookies = cookies.as_ptr() as u64;
    multi.cnt = points.len() as u32;
    multi.flags = if probe == Probe::Return {
        BPF_F_UPROBE_MULTI_RETURN
    } else {
        0
    };
    multi.pid = pid;
    let mut made = None;
    outliving(&mut || made = Some(sys_bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)));
    made.unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::EINTR)))
}
