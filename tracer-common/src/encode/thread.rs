//! A thread's state (`PyThreadState`, Include/cpython/pystate.h): which thread's it is, and where its frames begin.

use super::{Memory, Slot, WORDS};
use crate::{
    target::{ABSENT, Target},
    wire::FLAG_FRAME_FAULT,
};

/// Bytes of a thread state that are read at once, where its fields that are needed are; each read costs more than all these bytes.
const HEAD_BYTES: u32 = 256;
const _: () = assert!(HEAD_BYTES as usize <= 8 * WORDS);

/// Reads the head of a thread state into the slot, where nothing is written yet; there it is until something is.
#[inline(always)]
pub fn read_thread<M: Memory>(slot: &mut Slot, memory: &mut M, tstate: u64) {
    if !slot.is_empty() {
        return;
    }
    let there = memory.copy(&mut slot.words, 0, HEAD_BYTES, tstate);
    slot.thread = if there { tstate } else { 0 };
}

/// A word of a thread state: from its head, or, where that is not there, from memory.
#[inline(always)]
fn word<M: Memory>(slot: &Slot, memory: &mut M, tstate: u64, offset: u16) -> Option<u64> {
    let offset = offset as u32;
    if slot.thread == tstate && slot.is_empty() && offset & 7 == 0 && offset < HEAD_BYTES {
        return Some(slot.words[(offset / 8) as usize & (HEAD_BYTES as usize / 8 - 1)]);
    }
    memory.pointer(tstate.wrapping_add(offset as u64))
}

/// Is it that thread's state, and the one in use? A thread that runs several interpreters has a state in each (`_status.active`,
/// 3.12+).
#[inline(always)]
pub fn is_current<M: Memory>(slot: &Slot, target: &Target, memory: &mut M, tstate: u64, tid: u64) -> bool {
    let o = &target.offsets;
    // The status is 32 bits wide and may be in either half of its word.
    let status = word(slot, memory, tstate, o.tstate_status & !7).unwrap_or(0);
    let bit = o.tstate_active_bit + 8 * (o.tstate_status & 4);
    word(slot, memory, tstate, o.tstate_native_thread_id) == Some(tid) && status >> (bit & 63) & 1 != 0
}

/// The frame (`_PyInterpreterFrame`, up to 3.10 `PyFrameObject`) that runs on a thread, 0 if there is
/// none. `tstate` is the thread's state, 0: unknown.
#[inline(always)]
pub fn innermost_frame<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, tstate: u64) -> u64 {
    if tstate == 0 {
        return 0;
    }
    let o = &target.offsets;
    let frame = if o.cframe_current_frame == ABSENT {
        word(slot, memory, tstate, o.current_frame)
    } else {
        match word(slot, memory, tstate, o.tstate_cframe) {
            Some(cframe) if cframe != 0 => memory.field(cframe, o.cframe_current_frame),
            none => none,
        }
    };
    if frame.is_none() {
        slot.flags |= FLAG_FRAME_FAULT;
    }
    frame.unwrap_or(0)
}
