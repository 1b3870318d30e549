//! What probes cost the process, added up where it has a budget.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use tracer_common::{
    budget::{GENERATIONS, MAX_RUN_NS, Terms},
    counters::Control,
    open::{GENERATION, OpenCall},
};

use crate::{
    atomic,
    maps::{COSTS, SITE_COSTS, TERMS},
    probe::Hit,
};

/// When a program began, the lower half of the time, which is enough for [`MAX_RUN_NS`] and has room in the frame; 0: nobody asks.
#[inline(always)]
pub fn begin(control: &Control) -> u32 {
    if control.budget == 0 {
        return 0;
    }
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() as u32 | 1 }
}

/// Whether another probe at that place serves the call.
#[inline(always)]
pub fn is_shut(hit: &Hit) -> bool {
    hit.began != 0 && gate_is_turned(hit)
}

/// A function of its own, as the next one: its frame is none of the program's, and whoever has no budget does not call it.
#[inline(never)]
fn gate_is_turned(hit: &Hit) -> bool {
    !terms(hit).is_served_by(hit.cookie.gate())
}

/// Whether the end of a call in progress is not seen any more: the probe that saw it begin serves none.
#[inline(always)]
pub fn is_gone(hit: &Hit, open: &OpenCall) -> bool {
    hit.began != 0
        && TERMS
            .get(open.number())
            .is_none_or(|terms| Terms(*terms).generation() != open.generation())
}

/// The generation of a call that begins here, for [`is_gone`].
#[inline(always)]
pub fn generation(hit: &Hit) -> u64 {
    if hit.began == 0 {
        return 0;
    }
    // Turned since it was looked at: this probe served the one before.
    let terms = terms(hit);
    let late = !terms.is_served_by(hit.cookie.gate()) as u32;
    (terms.generation().wrapping_sub(late) as u64 & (GENERATIONS - 1) as u64) << GENERATION
}

/// Adds what the probe cost the process, up to now.
#[inline(always)]
pub fn charge(hit: &Hit, returns: bool) {
    if hit.began != 0 {
        add(hit, returns);
    }
}

#[inline(never)]
fn add(hit: &Hit, returns: bool) -> u64 {
    // SAFETY: the helper has no preconditions.
    let ran = unsafe { bpf_ktime_get_ns() as u32 }.wrapping_sub(hit.began) as u64;
    let terms = terms(hit);
    let price = if returns {
        terms.return_ns()
    } else {
        terms.entry_ns()
    };
    let cost = price + if ran < MAX_RUN_NS { ran } else { MAX_RUN_NS };
    if let Some(of_site) = SITE_COSTS.get_ptr_mut(hit.cookie.site()) {
        // SAFETY: map values live as long as the program; they are only touched by atomic addition.
        atomic::add(unsafe { &mut *of_site }, cost);
    }
    if let Some(of_process) = COSTS.get_ptr_mut(hit.cookie.target()) {
        // SAFETY: as above.
        atomic::add(unsafe { &mut *of_process }, cost);
    }
    0
}

#[inline(always)]
fn terms(hit: &Hit) -> Terms {
    Terms(TERMS.get(hit.cookie.site()).copied().unwrap_or(0))
}
