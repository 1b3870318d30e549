//! Counting what happens at a site.

use tracer_common::counters::SiteCounters;

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

/// `n` more.
#[inline(always)]
pub fn many(counter: &mut u64, n: u64) {
    atomic::add(counter, n);
}
