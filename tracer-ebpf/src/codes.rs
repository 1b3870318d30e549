//! Names of code objects: sent once each, by the call that is the first to run in them. Code may be gone
//! when the daemon could read its names (a program that ends, `exec`); now its frame keeps it.
//!
//! No loop is inside another here: the verifier would walk through the inner one for each walk through the outer. What
//! the loops find out is kept in the slots, of whose contents the verifier assumes nothing.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_loop};
use tracer_common::{
    counters::Control,
    encode::{CODE_STRINGS, Memory, Slot, begin_code, code_key, code_string},
    target::Target,
    wire::{KIND_CODE, RecordHeader},
};

use crate::{maps::CODES, record::send, scratch};

/// Turns of the loop for one code object: one that begins, then one a string.
const TURNS: u32 = CODE_STRINGS + 1;
const _: () = assert!(TURNS == 4);

/// Sends what names the code objects of a record's frames, of the innermost `most`, unless it was sent before.
#[inline(always)]
pub fn send_new<M: Memory>(
    slot: &mut Slot,
    target: &'static Target,
    control: &Control,
    memory: M,
    (index, tid): (u32, u32),
    most: u32,
) {
    let frames = slot.frames.min(most);
    let mut search = Search { slot };
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(frames, look as *mut c_void, (&raw mut search).cast(), 0);
    }
    if search.slot.whole == 0 {
        return;
    }
    // Without a second slot, or room for the record, the daemon reads the names itself, if it still can.
    let Some(record) = scratch::take(control) else {
        return;
    };
    let mut codes = Codes {
        slot: search.slot,
        record,
        target,
        memory,
        index: index as u64,
        tid: tid as u64,
    };
    // SAFETY: `turn` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(
            frames * TURNS,
            turn::<M> as *mut c_void,
            (&raw mut codes).cast(),
            0,
        );
    }
    scratch::give_back(codes.record);
}

#[inline(always)]
fn key(frame: [u64; 3]) -> u64 {
    let process = bpf_get_current_pid_tgid() >> 32;
    code_key(process as u32, frame)
}

#[inline(always)]
fn was_sent(frame: [u64; 3]) -> bool {
    // SAFETY: map values are bytes.
    unsafe { CODES.get(key(frame)) }.is_some()
}

/// Looks whether any code object is new: then the entry's slot is marked.
struct Search<'a> {
    slot: &'a mut Slot,
}

/// One frame; 1 ends the loop.
#[inline(never)]
extern "C" fn look(i: u32, context: *mut c_void) -> i64 {
    // SAFETY: `send_new` passes its own state.
    let search = unsafe { &mut *context.cast::<Search<'_>>() };
    if was_sent(search.slot.frame(i)) {
        return 0;
    }
    search.slot.whole = 1;
    1
}

/// An entry record, and the code record that is written.
struct Codes<'a, M> {
    slot: &'a mut Slot,
    record: &'a mut Slot,
    target: &'static Target,
    memory: M,
    index: u64,
    tid: u64,
}

/// A [`TURNS`]th of the work for one frame.
#[inline(never)]
extern "C" fn turn<M: Memory>(i: u32, context: *mut c_void) -> i64 {
    // SAFETY: `send_new` passes its own state.
    let codes = unsafe { &mut *context.cast::<Codes<'_, M>>() };
    let frame = codes.slot.frame(i / TURNS);
    let part = i % TURNS;
    if part == 0 {
        codes.record.reset();
        if !was_sent(frame) {
            begin_code(codes.record, frame);
        }
        return 0;
    }
    if codes.record.frames == 0 {
        return 0;
    }
    if code_string(codes.record, codes.target, &mut codes.memory, frame[0], part - 1).is_none() {
        codes.record.frames = 0;
        return 0;
    }
    if part == CODE_STRINGS {
        let header = RecordHeader {
            kind: KIND_CODE,
            target: codes.index as u16,
            tid: codes.tid as u32,
            ..RecordHeader::default()
        };
        if send(codes.record, header) {
            let _ = CODES.insert(key(frame), 1, 0);
        }
    }
    0
}
