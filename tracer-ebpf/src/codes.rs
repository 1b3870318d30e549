//! Names of code objects: sent once each, by the call that is the first to run in them. Code may be gone
//! when the daemon could read its names (a program that ends, `exec`); now its frame keeps it.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, generated::bpf_loop};
use tracer_common::{
    counters::Control,
    encode::{Slot, begin_code, code_key},
    limits::MAX_FRAMES,
    target::Target,
    wire::{KIND_CODE, RecordHeader},
};

use crate::{
    maps::CODES,
    probe::{encode, send},
    scratch,
};

/// An entry record that was delivered.
pub struct Codes<'a> {
    pub slot: &'a mut Slot,
    pub target: &'static Target,
    pub control: &'a Control,
    pub index: u32,
    pub tid: u32,
}

/// Sends what names the code objects of a record's frames, unless it was sent before.
#[inline(always)]
pub fn send_new(codes: &mut Codes<'_>) {
    let frames = codes.slot.frames.min(MAX_FRAMES);
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(frames, look as *mut c_void, core::ptr::from_mut(codes).cast(), 0);
    }
}

/// One frame.
#[inline(never)]
extern "C" fn look(i: u32, context: *mut c_void) -> i64 {
    // SAFETY: `send_new` passes its own state.
    let codes = unsafe { &mut *context.cast::<Codes<'_>>() };
    let frame = codes.slot.frame(i);
    // SAFETY: the helper has no preconditions.
    let process = unsafe { bpf_get_current_pid_tgid() } >> 32;
    let key = code_key(process as u32, frame);
    // SAFETY: map values are bytes.
    if unsafe { CODES.get(key) }.is_some() {
        return 0;
    }
    // Without a second slot, or room for the record, the daemon reads the names itself, if it still can.
    let Some(slot) = scratch::take(codes.control) else {
        return 1;
    };
    slot.reset();
    begin_code(slot, codes.target, frame);
    let slot = encode(slot, codes.target);
    let header = RecordHeader {
        kind: KIND_CODE,
        target: codes.index as u16,
        tid: codes.tid,
        ..RecordHeader::default()
    };
    if send(slot, header) {
        let _ = CODES.insert(key, 1, 0);
    }
    scratch::give_back(slot);
    0
}
