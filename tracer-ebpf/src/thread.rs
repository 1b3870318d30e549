//! Who runs: thread id, `PyThreadState`.

use core::ffi::c_void;

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_ns_current_pid_tgid, bpf_loop},
};
use tracer_common::{
    encode::{Memory, Slot, is_current, read_thread},
    filter::thread_key,
    limits::MAX_THREADS,
    target::Target,
};

use crate::{maps::THREADS, memory::User};

/// The ids of the current process and thread in a pid namespace, which its device and inode name; `None`: they are not in it.
#[inline(always)]
pub fn ids_in(device: u64, inode: u64) -> Option<bpf_pidns_info> {
    let mut info = bpf_pidns_info { pid: 0, tgid: 0 };
    // SAFETY: the buffer has the size given.
    let failed = unsafe {
        bpf_get_ns_current_pid_tgid(device, inode, &raw mut info, size_of::<bpf_pidns_info>() as u32)
    };
    (failed == 0).then_some(info)
}

/// The current thread's id as its process sees it, 0 if the kernel will not tell.
#[inline(always)]
pub fn id(target: &Target) -> u32 {
    if target.pidns_ino == 0 {
        return bpf_get_current_pid_tgid() as u32;
    }
    ids_in(target.pidns_dev, target.pidns_ino).map_or(0, |ids| ids.pid)
}

/// The running thread's `PyThreadState`, 0 if there is none.
///
/// Up to 3.11 the interpreter keeps a pointer to it (the probed thread holds the GIL); later
/// versions keep it in thread-local storage, so the interpreters' thread lists are searched once
/// per thread and the answer is checked on every use. It is cheaper where nothing is
/// written into the slot yet.
#[inline(always)]
pub fn state(slot: &mut Slot, target: &Target, index: u32, tid: u32) -> u64 {
    if target.tstate_current != 0 {
        return User.pointer(target.tstate_current).unwrap_or(0);
    }
    let key = thread_key(index, tid);
    // SAFETY: map values are plain words; a torn read cannot happen on x86-64.
    if let Some(cached) = unsafe { THREADS.get(key) } {
        let tstate = *cached;
        read_thread(slot, &mut User, tstate);
        if is_current(slot, target, &mut User, tstate, tid as u64) {
            return tstate;
        }
    }
    let tstate = search(slot, target, tid);
    if tstate != 0 {
        let _ = THREADS.insert(key, tstate, 0);
    }
    tstate
}

/// As [`state`], where the thread itself remembers what was found.
#[inline(always)]
pub fn remembered_state(slot: &mut Slot, target: &Target, tid: u32, remembered: &mut u64) -> u64 {
    if target.tstate_current != 0 {
        return User.pointer(target.tstate_current).unwrap_or(0);
    }
    let tstate = *remembered;
    if tstate != 0 {
        read_thread(slot, &mut User, tstate);
        if is_current(slot, target, &mut User, tstate, tid as u64) {
            return tstate;
        }
    }
    let found = search(slot, target, tid);
    *remembered = found;
    found
}

/// State of the walk over all interpreters' threads.
struct Search<'a> {
    slot: &'a mut Slot,
    target: &'a Target,
    tid: u64,
    interpreter: u64,
    tstate: u64,
    found: u64,
}

#[inline(always)]
fn search(slot: &mut Slot, target: &Target, tid: u32) -> u64 {
    slot.thread = 0;
    let mut search = Search {
        slot,
        target,
        tid: tid as u64,
        interpreter: User.pointer(target.interpreters_head).unwrap_or(0),
        tstate: 0,
        found: 0,
    };
    search.tstate = first_thread(target, search.interpreter);
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_THREADS, look as *mut c_void, (&raw mut search).cast(), 0);
    }
    search.found
}

#[inline(always)]
fn first_thread(target: &Target, interpreter: u64) -> u64 {
    if interpreter == 0 {
        return 0;
    }
    User.pointer(interpreter + target.offsets.interp_threads_head as u64)
        .unwrap_or(0)
}

/// One thread state of the walk; 1 ends the loop.
#[inline(never)]
extern "C" fn look(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `search` passes its own state.
    let search = unsafe { &mut *context.cast::<Search<'_>>() };
    if search.tstate == 0 {
        if search.interpreter == 0 {
            return 1;
        }
        let next = search.interpreter + search.target.offsets.interp_next as u64;
        search.interpreter = User.pointer(next).unwrap_or(0);
        search.tstate = first_thread(search.target, search.interpreter);
        return 0;
    }
    if is_current(search.slot, search.target, &mut User, search.tstate, search.tid) {
        search.found = search.tstate;
        return 1;
    }
    let next = search.tstate + search.target.offsets.tstate_next as u64;
    search.tstate = User.pointer(next).unwrap_or(0);
    0
}
