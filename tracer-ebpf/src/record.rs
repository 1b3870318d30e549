//! A record in the making is encoded, and handed over.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_loop, bpf_ringbuf_output},
};
use tracer_common::{
    encode::{Progress, Slot, step},
    limits::{MAX_STEPS, RECORD_MAX},
    target::Target,
    wire::{FLAG_CUT, RecordHeader},
};

use crate::{
    atomic,
    maps::{EVENTS, WAKE},
    memory::User,
};

/// Runs the encoder until nothing is left to encode.
#[inline(always)]
pub fn encode<'a>(slot: &'a mut Slot, target: &'static Target) -> &'a mut Slot {
    let mut work = Work { slot, target };
    // SAFETY: `turn` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_STEPS, turn as *mut c_void, (&raw mut work).cast(), 0);
    }
    let slot = work.slot;
    if slot.depth != 0 {
        slot.flags |= FLAG_CUT;
    }
    slot
}

/// Hands a record over; false if the ring buffer is full.
#[inline(always)]
pub fn send(slot: &mut Slot, header: RecordHeader) -> bool {
    let len = (slot.finish(header) as u64).min(RECORD_MAX as u64);
    // SAFETY: `len` is at most RECORD_MAX, half of the buffer.
    unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            slot.words.as_mut_ptr().cast(),
            len,
            wakeup(),
        ) == 0
    }
}

/// Wakes the daemon only if it asked for it: waking costs the target an interrupt.
#[inline(always)]
fn wakeup() -> u64 {
    let Some(wake) = WAKE.get_ptr_mut(0) else { return 0 };
    // SAFETY: map values live as long as the program; the daemon's write is one word.
    let wake = unsafe { &mut *wake };
    if *wake != 0 && atomic::swap(wake, 0) != 0 {
        BPF_RB_FORCE_WAKEUP as u64
    } else {
        BPF_RB_NO_WAKEUP as u64
    }
}

struct Work<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
}

/// One step of the encoder; 1 ends the loop.
#[inline(never)]
extern "C" fn turn(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `record` passes its own state.
    let work = unsafe { &mut *context.cast::<Work<'_>>() };
    match step(work.slot, work.target, &mut User) {
        Progress::More => 0,
        Progress::Done => 1,
    }
}
