//! The greenlet that a thread runs.

use super::{Phase, next_base};
use crate::{
    encode::{Memory, Slot},
    target::Target,
};

/// The current greenlet: by the thread's `fs` base, which is what Python has as its id, and its vector of thread-local storage
/// (`tcbhead_t` and `dtv_t`, sysdeps/x86_64/nptl/tls.h of glibc) to greenlet's state of the thread, which begins with the first and the
/// current greenlet (`ThreadState`, src/greenlet/greenlet_thread_state.hpp at 2.0.0, TThreadState.hpp at 3.5.3).
#[inline(always)]
pub(super) fn current<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let a = &target.attribution;
    slot.search.phase = Phase::Task as u64;
    let fs = memory.field(slot.search.tstate, target.offsets.tstate_thread_id)?;
    let vector = memory.pointer(fs.wrapping_add(8))?;
    // Its length is before it. A thread that has never been in a later module has a shorter one.
    if a.greenlet_module > memory.pointer(vector.wrapping_sub(16))? {
        return Some(());
    }
    let block = memory.pointer(vector.wrapping_add(a.greenlet_module.wrapping_mul(16)))?;
    if block.wrapping_add(1) <= 1 {
        return Some(());
    }
    let state = memory.pointer(block.wrapping_add(a.greenlet_state))?;
    // 1: not made yet.
    if state <= 1 {
        return Some(());
    }
    let [first, current] = memory.words::<2>(state)?;
    if current != 0 && current != first {
        slot.search.node = current;
        slot.search.key = current;
        slot.search.shift = 0;
        slot.search.phase = Phase::GreenletBases as u64;
    }
    Some(())
}

/// Whether it is one: one type of its bases a step.
#[inline(always)]
pub(super) fn base<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M) -> Option<()> {
    let ty = next_base(slot, target, memory)?;
    if ty == target.attribution.greenlet_type {
        slot.search.greenlet = slot.search.key;
        slot.search.phase = Phase::Task as u64;
        return Some(());
    }
    // What has no such base is no greenlet, so the way to it was wrong.
    if ty == 0 { None } else { Some(()) }
}
