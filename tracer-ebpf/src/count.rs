//! Counting what happens at a site.

use tracer_common::{counters::SiteCounters, encode::Slot, wire::FLAG_CUT};

use crate::{atomic, maps::COUNTERS};

/// The counters of a site.
#[inline(always)]
pub fn of(site: u32) -> Option<&'static mut SiteCounters> {
    let counters = COUNTERS.get_ptr_mut(site)?;
    // SAFETY: map values live as long as the program; fields are only touched by atomic addition.
    Some(unsafe { &mut *counters })
}

/// One more.
#[inline(always)]
pub fn one(counter: &mut u64) {
    atomic::add(counter, 1);
}

/// What a record lacks.
#[inline(always)]
pub fn losses(slot: &Slot, counters: &mut SiteCounters) {
    if slot.flags & FLAG_CUT != 0 {
        one(&mut counters.truncated);
    }
    if slot.faults != 0 {
        atomic::add(&mut counters.faults, slot.faults as u64);
    }
}
