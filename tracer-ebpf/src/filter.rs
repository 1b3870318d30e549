//! Calls left out before anything is copied, by what the daemon said of their code and thread.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_comm, bpf_loop},
};
use tracer_common::{
    encode::{Cursor, Progress, Slot, WORDS, frame_step},
    filter::{CallKey, THREAD_NEW, call_key, thread_key},
    limits::MAX_FRAMES,
    target::Target,
    wire::{FLAG_FRAME_FAULT, FLAG_NO_TSTATE},
};

use crate::{
    maps::{HIDDEN_CALLS, HIDDEN_CODE, JUDGED_THREADS},
    memory::User,
};

/// Steps of the walk over frames at most: those that stand for C code are passed over.
const MAX_WALK: u32 = 4 * MAX_FRAMES + 18;
/// Words of a `FrameRecord`.
const FRAME_WORDS: u32 = 3;

/// The call of the current thread that was entered with that stack pointer.
#[inline(always)]
pub fn call(sp: u64, site: u32) -> CallKey {
    call_key(sp, bpf_get_current_pid_tgid() as u32, site)
}

/// Leaves a call out; false if it cannot be remembered until its return.
#[inline(always)]
pub fn hide(call: CallKey) -> bool {
    HIDDEN_CALLS.insert(call, 0, 0).is_ok()
}

/// Was that call left out? It is over, or another one takes its place.
#[inline(always)]
pub fn take_hidden(call: CallKey) -> bool {
    // Most calls were not: looking costs less than removing what is not there.
    // SAFETY: the value is not looked at.
    let hidden = unsafe { HIDDEN_CALLS.get(call) }.is_some();
    if hidden {
        let _ = HIDDEN_CALLS.remove(call);
    }
    hidden
}

/// What was said of the current thread: `THREAD_*`.
#[inline(always)]
pub fn thread(target: u32, tid: u32) -> u64 {
    let mut name = [0u64; 2];
    // SAFETY: the buffer has the size given; what is behind the name is filled with zeros.
    unsafe { bpf_get_current_comm(name.as_mut_ptr().cast(), 16) };
    let key = thread_key(target, tid);
    // SAFETY: plain words; a verdict that is torn from its name judges one call by the old name.
    if let Some([first, second, verdict]) = unsafe { JUDGED_THREADS.get(key) }.copied()
        && [first, second] == name
    {
        return verdict;
    }
    let _ = JUDGED_THREADS.insert(key, [name[0], name[1], THREAD_NEW], 0);
    THREAD_NEW
}

struct Walk<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
    index: u64,
    shown: u64,
}

/// Writes the frames that a record shows; false if each of them is known to be left out.
#[inline(always)]
pub fn frames(slot: &mut Slot, target: &'static Target, index: u32, frame: u64) -> bool {
    slot.push(Cursor::frames(frame, target.limits.stack as u64));
    let mut walk = Walk {
        slot,
        target,
        index: index as u64,
        shown: 0,
    };
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_WALK, look as *mut c_void, (&raw mut walk).cast(), 0);
    }
    let slot = walk.slot;
    slot.depth = 0;
    walk.shown != 0 || slot.flags & (FLAG_FRAME_FAULT | FLAG_NO_TSTATE) != 0
}

/// One frame of the walk; 1 ends the loop.
#[inline(never)]
extern "C" fn look(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `frames` passes its own state.
    let walk = unsafe { &mut *context.cast::<Walk<'_>>() };
    let before = walk.slot.frames;
    if frame_step(walk.slot, walk.target, &mut User) == Progress::Done {
        return 1;
    }
    if walk.slot.frames != before && walk.shown == 0 {
        let at = walk.slot.len - FRAME_WORDS;
        let word = |i: u32| walk.slot.words[(at + i) as usize & (WORDS - 1)];
        let key = [walk.index, word(0), word(1)];
        // SAFETY: the value is not looked at.
        walk.shown = unsafe { HIDDEN_CODE.get(key) }.is_none() as u64;
    }
    0
}
