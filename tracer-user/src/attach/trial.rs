//! What a kernel can do, found out by trying.

use std::{
    env, fs, io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::OnceLock,
    thread,
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_map_type, bpf_prog_type};

use super::{
    links::{Point, Probe, multi},
    loader::sys_bpf,
};
use crate::process::Process;

/// How probes are put in, for tests. "events": as on kernels that have no `uprobe_multi` links; "links": as on those that
/// have no session programs.
const PROBES: &str = "PYTRACE_PROBES";
/// Since 6.10 a link for one process surely sees all its threads (`uprobe_prog_run`, kernel/trace/bpf_trace.c); before, it depends
/// on what was back-ported.
const SURELY: (u32, u32) = (6, 10);

/// Whether the kernel has `uprobe_multi` links that can be used. Where it cannot be tried it is taken for one that has.
pub fn has_multi() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        if asked_for("events") {
            return false;
        }
        knows(Probe::Entry).unwrap_or(true) && (version() >= SURELY || sees_threads().unwrap_or(true))
    })
}

/// Whether the kernel has session programs: one for entry and return, which decides at the entry whether the return is probed
/// (6.13).
pub fn has_sessions() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| has_multi() && !asked_for("links") && knows(Probe::Session).unwrap_or(false))
}

fn asked_for(way: &str) -> bool {
    env::var_os(PROBES).is_some_and(|by| by == way)
}

/// Asks for a probe in a folder, which cannot be: only a kernel that knows what is asked says so
/// (`bpf_uprobe_multi_link_attach`: EBADF).
fn knows(probe: Probe) -> io::Result<bool> {
    let program = load(&[NOTHING, END], probe)?;
    let point = Point { offset: 0, cookie: 0 };
    let tried = multi(program.as_fd(), probe, c"/", &[point], 0);
    Ok(tried.err().and_then(|error| error.raw_os_error()) != Some(libc::EINVAL))
}

/// What is probed in the tool itself.
#[inline(never)]
extern "C" fn passed_by(argument: u64) -> u64 {
    std::hint::black_box(argument)
}

/// Whether a link for one process sees what its other threads do. `None`: it cannot be told.
fn sees_threads() -> Option<bool> {
    let map = array_of_one().ok()?;
    let program = load(&count_in(map.as_fd()), Probe::Entry).ok()?;
    let own = Process::open(std::process::id()).ok()?;
    let (_, offset) = own.locate(passed_by as *const () as u64)?;
    let point = Point { offset, cookie: 0 };
    let link = multi(
        program.as_fd(),
        Probe::Entry,
        c"/proc/self/exe",
        &[point],
        std::process::id(),
    )
    .ok()?;
    let passed = |by: fn()| {
        by();
        value_of(map.as_fd()).ok().filter(|count| *count != 0)
    };
    // Where it does not even see this thread, nothing can be told.
    let main = passed(|| {
        passed_by(1);
    })?;
    let both = passed(|| {
        let _ = thread::spawn(|| passed_by(2)).join();
    })?;
    // Taking the probe out waits for the kernel; nobody waits for this.
    thread::spawn(move || drop(link));
    Some(both > main)
}

/// Major and minor version of the running kernel; a new one where it does not tell.
fn version() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor),
        _ => SURELY,
    }
}

// Instructions (`struct bpf_insn`, include/uapi/linux/bpf.h): the operation, the registers (destination in the lower half), 16 bits of
// offset, 32 bits of a number.

const fn instruction(code: u8, registers: u8, offset: i16, number: i32) -> u64 {
    code as u64 | (registers as u64) << 8 | (offset as u16 as u64) << 16 | (number as u32 as u64) << 32
}

/// `r0 = 0`
const NOTHING: u64 = instruction(0xb7, 0, 0, 0);
/// `exit`
const END: u64 = instruction(0x95, 0, 0, 0);

/// A program that counts its runs in the only element of an array.
fn count_in(map: BorrowedFd<'_>) -> [u64; 11] {
    [
        // *(u32 *)(r10 - 4) = 0
        instruction(0x62, 10, -4, 0),
        // r2 = r10 - 4
        instruction(0xbf, 0xa2, 0, 0),
        instruction(0x07, 2, 0, -4),
        // r1 = the map (BPF_PSEUDO_MAP_FD)
        instruction(0x18, 0x11, 0, map.as_raw_fd()),
        0,
        // r0 = bpf_map_lookup_elem(r1, r2)
        instruction(0x85, 0, 0, 1),
        // if r0 == 0, over the next two
        instruction(0x15, 0, 2, 0),
        // atomic *(u64 *)r0 += 1
        instruction(0xb7, 1, 0, 1),
        instruction(0xdb, 0x10, 0, 0),
        NOTHING,
        END,
    ]
}

/// Loads a program for `uprobe_multi`.
fn load(instructions: &[u64], probe: Probe) -> io::Result<OwnedFd> {
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above; this view is the one BPF_PROG_LOAD reads.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_KPROBE as u32;
    load.expected_attach_type = probe.attach_type();
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    sys_bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)
}

/// An array with one u64.
fn array_of_one() -> io::Result<OwnedFd> {
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above; this view is the one BPF_MAP_CREATE reads.
    let create = unsafe { &mut attr.__bindgen_anon_1 };
    create.map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY as u32;
    create.key_size = 4;
    create.value_size = 8;
    create.max_entries = 1;
    sys_bpf(bpf_cmd::BPF_MAP_CREATE, &mut attr)
}

/// What is in it.
fn value_of(map: BorrowedFd<'_>) -> io::Result<u64> {
    let (key, mut value) = (0u32, 0u64);
    // SAFETY: bpf_attr is a union of plain integers; all zeros is its documented start.
    let mut attr: bpf_attr = unsafe { std::mem::zeroed() };
    // SAFETY: as above; this view is the one BPF_MAP_LOOKUP_ELEM reads.
    let lookup = unsafe { &mut attr.__bindgen_anon_2 };
    lookup.map_fd = map.as_raw_fd() as u32;
    lookup.key = &raw const key as u64;
    lookup.__bindgen_anon_1.value = &raw mut value as u64;
    // SAFETY: the map's keys have four bytes, its values eight, as what is pointed to.
    let failed = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_MAP_LOOKUP_ELEM as libc::c_int,
            &raw mut attr,
            size_of::<bpf_attr>(),
        )
    };
    if failed == 0 {
        Ok(value)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_this_kernel_see_all_threads() {
        // Not root, or an old kernel.
        if version() >= SURELY && knows(Probe::Entry).unwrap_or(false) {
            assert_eq!(sees_threads(), Some(true));
        }
    }
}
