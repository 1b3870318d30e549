//! Processes that begin, load, fork or run another program: told to the daemon, and stopped until it
//! has put its probes in.

use aya_ebpf::{
    EbpfContext as _,
    bindings::BPF_RB_FORCE_WAKEUP,
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns,
        generated::{bpf_get_attach_cookie, bpf_probe_read_kernel, bpf_probe_read_user_str, bpf_send_signal},
    },
    programs::{ProbeContext, RawTracePointContext},
};
use tracer_common::{
    share::Sharer,
    watch::{self, Happening, TaskOffsets, Text, WatchCookie},
};

use crate::{
    handle::read,
    maps::{FOLLOWED, HELD, REPLACED, TASK, TRACED, WATCHED},
};

const SIGCONT: u32 = 18;
const SIGSTOP: u32 = 19;
/// A handler is an address above this.
const SIG_IGN: u64 = 1;
/// include/uapi/linux/sched.h
const CLONE_THREAD: u64 = 0x0001_0000;
const CLONE_VM: u64 = 0x0000_0100;

/// The current process.
#[inline(always)]
pub fn process() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The process a followed process was forked from; 0 for those the daemon named. `None`: not followed.
#[inline(always)]
fn followed(pid: u32) -> Option<u32> {
    // SAFETY: map values are plain words.
    unsafe { FOLLOWED.get(pid) }.copied()
}

/// A probe that watches ran.
#[inline(always)]
pub fn probe(ctx: &ProbeContext) {
    // SAFETY: the context is the one the kernel gave this program.
    let cookie = WatchCookie::unpack(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    if cookie.text != Text::Any {
        let mut text = [0u64; 2];
        let from = ctx.arg::<u64>(0).unwrap_or(0);
        // SAFETY: the buffer has 16 bytes; the helper checks the address.
        let read = unsafe { bpf_probe_read_user_str(text.as_mut_ptr().cast(), 16, from as *const _) };
        if read <= 0 || !cookie.text.is(text) {
            return;
        }
    }
    if cookie.followed && followed(process()).is_none() {
        return;
    }
    tell_here(cookie.what, cookie.stop);
}

/// Tells what the current process does.
#[inline(always)]
pub fn tell_here(what: u32, stop: bool) {
    let pid = process();
    tell(what, pid, followed(pid).unwrap_or(0), stop);
}

/// The current process has begun another program.
#[inline(always)]
pub fn exec() {
    let pid = process();
    // Before any of it runs: its probes are those of the program before, as is all that is known of its memory.
    // SAFETY: map values are plain words.
    if let Some(traced) = unsafe { TRACED.get(pid) }.copied()
        && let Some(replaced) = REPLACED.get_ptr_mut(Sharer(traced).index())
    {
        // SAFETY: map values live as long as the program; one word, which only ever becomes 1 here.
        unsafe { replaced.write_volatile(1) };
    }
    match followed(watch::EVERY_PROCESS) {
        Some(watch::TELL_ALL) => tell(watch::EXEC, pid, 0, false),
        none_is_held => {
            if let Some(parent) = followed(pid) {
                tell(watch::EXEC, pid, parent, none_is_held.is_none());
            }
        }
    }
}

/// The current process makes another one: it is followed too, before it runs; or, where children are not followed, it is told that
/// it has a copy of the memory.
#[inline(always)]
pub fn fork(ctx: &RawTracePointContext) {
    let pid = process();
    let flags = ctx.arg::<u64>(1);
    if followed(pid).is_none() || flags & CLONE_THREAD != 0 {
        return;
    }
    let Some(offsets) = TASK.get(0) else { return };
    let mut child = 0u32;
    let from = ctx.arg::<u64>(0).wrapping_add(offsets.tgid);
    // SAFETY: the buffer has 4 bytes; the helper checks the address.
    if unsafe { bpf_probe_read_kernel((&raw mut child).cast(), 4, from as *const _) } != 0 {
        return;
    }
    if offsets.follow != 0 {
        let _ = FOLLOWED.insert(child, pid, 0);
    } else if flags & CLONE_VM == 0 {
        tell(watch::COPIED, child, pid, false);
    }
}

/// Whether it would be noticed that the current process was stopped.
#[inline(always)]
fn noticed(what: u32, parent: u32) -> bool {
    let Some(offsets) = TASK.get(0).filter(|offsets| offsets.sighand != 0) else {
        return false;
    };
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    by_itself(offsets, task, what).unwrap_or(false)
        || parent != 0 && by_its_shell(offsets, task).unwrap_or(false)
}

/// The SIGCONT that lets it go on runs its handler, or, blocked, stays for `sigwait` and `signalfd`.
#[inline(always)]
fn by_itself(offsets: &TaskOffsets, task: u64, what: u32) -> Option<bool> {
    let handler: u64 = read(read(task, offsets.sighand)?, offsets.handler(SIGCONT))?;
    let blocked = read::<u64>(task, offsets.blocked)? & 1 << (SIGCONT - 1) != 0;
    // A program that begins with it blocked has not looked yet; not held, it would not be traced.
    let begins = matches!(what, watch::EXEC | watch::LINKED | watch::BEGINS);
    Some(handler > SIG_IGN || blocked && !begins)
}

/// It is a job of a shell, in a process group of its own, and the shell waits for jobs that stop, too.
#[inline(always)]
fn by_its_shell(offsets: &TaskOffsets, task: u64) -> Option<bool> {
    let group_and_session = |task| read::<[u64; 2]>(read(task, offsets.signal)?, offsets.group());
    let own = group_and_session(task)?;
    let shell = group_and_session(read(task, offsets.real_parent)?)?;
    Some(own[0] != shell[0] && own[1] == shell[1])
}

/// Tells the daemon, and stops the process: only if the daemon is sure to hear of it, and nobody else does.
#[inline(always)]
fn tell(what: u32, pid: u32, parent: u32, stop: bool) {
    let Some(mut record) = WATCHED.reserve::<Happening>(0) else {
        return;
    };
    // SAFETY: the helper has no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    // Before the stop: whoever looks after the tracer's end must find it.
    let held = stop && !noticed(what, parent) && HELD.insert(pid, time_ns, 0).is_ok() && {
        // SAFETY: the helper has no preconditions.
        unsafe { bpf_send_signal(SIGSTOP) == 0 }
    };
    record.write(Happening {
        what,
        pid,
        parent,
        held: held as u32,
        time_ns,
    });
    record.submit(BPF_RB_FORCE_WAKEUP as u64);
}
