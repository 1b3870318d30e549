//! Probes by perf events, one descriptor each: for kernels that have no `uprobe_multi` links (before 6.6).
//!
//! Taking one out waits for grace periods, 0.1 s and more: of the readers that may sleep (`perf_event_detach_bpf_prog`,
//! kernel/trace/bpf_trace.c), which many can await side by side; and of the others under a lock that all share
//! (`perf_trace_event_unreg`, kernel/trace/trace_event_perf.c), where the kernel is asked to hurry.

use std::{
    ffi::CStr,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::fs::FileExt as _,
    },
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, perf_event_attr};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{
    links::{Point, Probe},
    loader::sys_bpf,
    outlive::outliving,
};

/// The events of user-space probes (Documentation/ABI/testing/sysfs-bus-event_source-devices-uprobe).
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe";
/// "1": who waits for a grace period gets it at once, at the price of interrupts (Documentation/RCU).
const EXPEDITED: &str = "/sys/kernel/rcu_expedited";
/// Close on exec (`PERF_FLAG_FD_CLOEXEC`, include/uapi/linux/perf_event.h).
const FLAG_CLOEXEC: libc::c_ulong = 1 << 3;
/// Who wait side by side.
const CLOSERS: usize = 64;

/// How the kernel numbers these events.
#[derive(Clone, Copy)]
struct Source {
    kind: u32,
    /// The bit of `config` for a probe of the return.
    return_bit: u32,
}

impl Source {
    /// `None`: the kernel has no such events.
    fn get() -> Option<Self> {
        static SOURCE_OF_EVENTS: OnceLock<Option<Source>> = OnceLock::new();
        *SOURCE_OF_EVENTS.get_or_init(|| {
            let read = |name: &str| fs::read_to_string(format!("{SOURCE}/{name}")).ok();
            Some(Self {
                kind: read("type")?.trim().parse().ok()?,
                return_bit: read("format/retprobe")?
                    .trim()
                    .strip_prefix("config:")?
                    .parse()
                    .ok()
                    .filter(|bit| *bit < 64)?,
            })
        })
    }
}

/// Puts `program` at every point of the file at `path`, for process `pid` only; 0: for all. `into`: a descriptor for each point,
/// also of those before one that fails.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    probe: Probe,
    path: &CStr,
    points: &[Point],
    pid: u32,
    into: &mut Vec<Option<OwnedFd>>,
) -> io::Result<()> {
    let source = Source::get().ok_or_else(|| io::Error::from_raw_os_error(libc::EOPNOTSUPP))?;
    allow_descriptors();
    // Within `outliving` nothing may be allocated.
    into.reserve(points.len());
    let mut failed = None;
    outliving(&mut || {
        for point in points {
            match one(source, program.as_raw_fd(), probe, path, point, pid) {
                Ok(link) => into.push(Some(link)),
                Err(error) => {
                    failed = error.raw_os_error();
                    break;
                }
            }
        }
    });
    if into.len() == points.len() {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(failed.unwrap_or(libc::EINTR)))
}

/// Takes the probes out.
pub(super) fn close(events: &mut [Option<OwnedFd>]) {
    let hurry = hurry();
    let share = events.len().div_ceil(CLOSERS).max(1);
    thread::scope(|scope| {
        for events in events.chunks_mut(share) {
            scope.spawn(move || {
                outliving(&mut || {
                    let _while_closing = hurry.map(Hurry::begin);
                    events.iter_mut().for_each(|one| drop(one.take()));
                });
            });
        }
    });
}

/// One event with the program on it. The link keeps the event.
fn one(
    source: Source,
    program: RawFd,
    probe: Probe,
    path: &CStr,
    point: &Point,
    pid: u32,
) -> io::Result<OwnedFd> {
    // SAFETY: the struct is plain integers; all zeros is its documented start.
    let mut attr: perf_event_attr = unsafe { std::mem::zeroed() };
    attr.size = size_of::<perf_event_attr>() as u32;
    attr.type_ = source.kind;
    attr.config = u64::from(probe == Probe::Return) << source.return_bit;
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = point.offset;
    // The kernel asks which memory the process has, not which thread comes by; programs run on every CPU
    // (`__uprobe_perf_func`, kernel/trace/trace_uprobe.c).
    let (thread, cpu) = match i32::try_from(pid) {
        Ok(0) => (-1, 0),
        Ok(pid) => (pid, -1),
        Err(_) => return Err(io::Error::from_raw_os_error(libc::ESRCH)),
    };
    // SAFETY: `attr` and the path it points to live through the call.
    let event = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            thread,
            cpu,
            -1,
            FLAG_CLOEXEC,
        )
    };
    if event < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor.
    let event = unsafe { OwnedFd::from_raw_fd(event as RawFd) };
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    attr.link_create.__bindgen_anon_1.prog_fd = program as u32;
    attr.link_create.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    attr.link_create.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    attr.link_create.__bindgen_anon_3.perf_event.bpf_cookie = point.cookie;
    sys_bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr)
}

/// A descriptor for each probe is more than a process has by default.
fn allow_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// What asks the kernel to hurry.
struct Hurry(File);

/// The kernel hurries until the last of these is dropped.
struct Hurrying<'a>(&'a Hurry);

/// How many there are: links are closed side by side.
static HURRYING: AtomicU32 = AtomicU32::new(0);

/// `None`: it cannot be asked, so it takes its time; or it hurries anyway, because somebody else said so.
fn hurry() -> Option<&'static Hurry> {
    static HURRY: OnceLock<Option<Hurry>> = OnceLock::new();
    let asked = || {
        let text = fs::read_to_string(EXPEDITED).ok()?;
        let file = OpenOptions::new().write(true).open(EXPEDITED);
        (text.trim() == "0").then(|| file.ok().map(Hurry)).flatten()
    };
    HURRY.get_or_init(asked).as_ref()
}

/// Opens what is needed to take probes out, while files may be opened for writing ([`crate::process::confine()`]).
pub(super) fn prepare() {
    hurry();
}

impl Hurry {
    fn begin(&self) -> Hurrying<'_> {
        if HURRYING.fetch_add(1, Ordering::SeqCst) == 0 {
            self.set(b"1");
        }
        Hurrying(self)
    }

    fn set(&self, digit: &[u8]) {
        let _ = self.0.write_all_at(digit, 0);
    }
}

impl Drop for Hurrying<'_> {
    fn drop(&mut self) {
        if HURRYING.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.set(b"0");
        }
    }
}
