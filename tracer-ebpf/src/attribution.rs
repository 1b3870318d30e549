//! What a call belongs to: its asyncio task, its span.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use tracer_common::{
    encode::{SEARCH_STEPS, Slot, begin_search, end_search, search_step},
    target::Target,
};

use crate::{maps::RUNNING_LOOP_KEYS, memory::User};

/// Looks for task and span of the thread whose state is in the slot, if the process has any at all.
#[inline(always)]
pub fn find(slot: &mut Slot, target: &'static Target, index: u32) {
    if target.attribution.is_wanted() && slot.tstate != 0 {
        search(slot, target, index);
    }
}

#[inline(never)]
fn search(slot: &mut Slot, target: &'static Target, index: u32) -> u64 {
    let known = RUNNING_LOOP_KEYS.get(index).copied().unwrap_or(0);
    slot.search.running_loop_key = known;
    let tstate = slot.tstate;
    if !begin_search(slot, target, &mut User, tstate) {
        return 0;
    }
    let mut work = Work { slot, target };
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(SEARCH_STEPS, look as *mut c_void, (&raw mut work).cast(), 0);
    }
    end_search(work.slot);
    let found = work.slot.search.running_loop_key;
    if found != known {
        let _ = RUNNING_LOOP_KEYS.set(index, found, 0);
    }
    0
}

struct Work<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
}

/// One step of the search; 1 ends the loop.
#[inline(never)]
extern "C" fn look(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `search` passes its own state.
    let work = unsafe { &mut *context.cast::<Work<'_>>() };
    !search_step(work.slot, work.target, &mut User) as i64
}
