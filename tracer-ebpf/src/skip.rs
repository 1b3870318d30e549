//! Which calls are recorded where only some are ([`tracer_common::rate`]), and what is kept of the others until they return: one that
//! raises is recorded then.
//!
//! What is part of another call's act is left out here and not by the daemon, which cannot know of an act that is not recorded.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::pt_regs,
    helpers::{bpf_ktime_get_ns, generated::bpf_get_prandom_u32},
};
use tracer_common::{
    aggregate::site,
    cookie::{COOKIE_REGISTERS, SelfKind},
    encode::{Slot, innermost_frame, is_raise, place},
    filter::{FILTER_CODE, FILTER_THREAD, THREAD_NEW},
    open::{HIDDEN, INSIDE_ACT, KeptCalls, OpenCall, SHOWN, SKIPPED},
    wire::{FLAG_LATE, FLAG_NEW_THREAD, KIND_ENTRY},
};

use crate::{
    atomic, attribution, budget, calls, count, filter, load,
    maps::{KEPT_CALLS, NO_KEPT_CALLS, SITE_RATES},
    memory::User,
    probe::{Hit, begin, find_frame, save_registers},
    scratch, thread,
};

/// A call or its return is recorded.
pub const RECORD: u64 = 0;
/// It is not, and is counted.
pub const OVER: u64 = 1;

/// In [`Hit::choice`], beside the shift by which a call was chosen: it was not, and its return is awaited.
pub const AWAITED: u32 = 1 << 8;

/// Not 0: only some of the calls are recorded. Set before the programs are loaded, so that the verifier knows it, and neither checks nor
/// keeps what is not needed.
// SAFETY: nothing else defines the name.
#[unsafe(no_mangle)]
static SOME_CALLS: u64 = 0;

/// Whether only some of the calls are recorded.
#[inline(always)]
pub fn is_on() -> bool {
    // SAFETY: a static. Volatile, since it is not what the compiler sees.
    unsafe { (&raw const SOME_CALLS).read_volatile() != 0 }
}

/// A call begins. Where a filter has to look at its code first, that is for [`choose`] to say.
#[inline(never)]
pub fn begins<const SESSION: bool>(ctx: *mut c_void, hit: &mut Hit) -> u64 {
    if !SESSION && hit.control.filters != 0 {
        // One whose return never came may have been there.
        filter::take_hidden(hit.call());
    }
    let Some(kept) = calls::of(&KEPT_CALLS, &NO_KEPT_CALLS, hit.cookie.target(), hit.tid) else {
        return RECORD;
    };
    let spared = load::is_spared(hit.cookie.target()) as u64;
    if kept.spared != spared {
        // Nobody sees the returns of those in progress.
        kept.open.clear();
        kept.spared = spared;
    }
    kept.open.close_above(hit.sp, hit.cookie.site());
    let facts = hit.facts();
    let hides = facts & site::NAMED == 0 && hit.control.nested == 0;
    let mut inside = kept.open.is_inside_act(hit.sp, |open| budget::is_gone(hit, open));
    if hides && !inside && facts & site::BYTECODE == 0 && kept.may_be_of_bytecode(hit.sp) {
        look(hit, kept);
        inside = kept.is_of_bytecode();
    }
    if hides && inside {
        // Where there is no room to know its return by, it is for the daemon to leave out.
        if SESSION || !is_awaited(hit, kept) || keep(hit, kept, HIDDEN, 0, inside) {
            count::one(&mut hit.counters.filtered);
            return OVER;
        }
        return RECORD;
    }
    if hit.control.filters & FILTER_CODE != 0 {
        return RECORD;
    }
    pick(ctx, hit, kept, inside)
}

/// Whether a call that the filters are for is recorded.
#[inline(never)]
pub fn choose(ctx: *mut c_void, hit: &mut Hit) -> u64 {
    let Some(kept) = calls::known(&KEPT_CALLS, hit.cookie.target(), hit.tid) else {
        return RECORD;
    };
    let inside = kept.open.is_inside_act(hit.sp, |open| budget::is_gone(hit, open));
    pick(ctx, hit, kept, inside)
}

#[inline(always)]
fn pick(ctx: *mut c_void, hit: &mut Hit, kept: &mut KeptCalls, inside: bool) -> u64 {
    let awaited = is_awaited(hit, kept);
    // It is an error, or could not be told from one at its return.
    if hit.cookie.self_kind() == SelfKind::Exception as u8 || awaited && !kept.open.has_room() {
        return RECORD;
    }
    if hit.facts() & site::BYTECODE != 0 {
        note_bytecode(hit, kept);
    }
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(shift) = draw(hit, now) {
        hit.choice = shift;
        if awaited {
            keep(hit, kept, SHOWN, now, inside);
        }
        return RECORD;
    }
    count::one(&mut hit.counters.skipped);
    if awaited {
        save_registers(ctx.cast::<pt_regs>(), &mut kept.registers);
        for i in 0..COOKIE_REGISTERS {
            kept.arguments()[i] = kept.registers[hit.cookie.register(i as u32) as usize & 15];
        }
        keep(hit, kept, SKIPPED, now, inside);
        hit.choice = AWAITED;
    }
    OVER
}

/// Keeps where a bytecode is, so that the call by which it does its work is known for that.
#[inline(always)]
fn note_bytecode(hit: &Hit, kept: &mut KeptCalls) {
    if hit.facts() & site::ACT == 0 {
        return kept.begin_bytecode(0);
    }
    look(hit, kept);
    kept.begin_bytecode(hit.sp);
}

/// Finds out where in Python code the thread is.
#[inline(never)]
fn look(hit: &Hit, kept: &mut KeptCalls) -> u64 {
    kept.here = [0; 2];
    if let Some(slot) = scratch::take(hit.control) {
        slot.reset();
        let tstate = thread::state(slot, hit.target, hit.cookie.target(), hit.tid);
        let frame = innermost_frame(slot, hit.target, &mut User, tstate);
        kept.here = place(slot, hit.target, &mut User, frame);
        scratch::give_back(slot);
    }
    0
}

/// The shift by which a call is chosen, `None`: it is not.
#[inline(always)]
fn draw(hit: &Hit, now: u64) -> Option<u32> {
    let Some(place) = SITE_RATES.get_ptr_mut(hit.cookie.site()) else {
        return Some(0);
    };
    // SAFETY: the helper has no preconditions.
    let random = unsafe { bpf_get_prandom_u32() };
    // SAFETY: map values live as long as the program. What another processor writes in between is lost, or mixed with this: any numbers
    // will do.
    let mut rate = unsafe { place.read_volatile() };
    let chosen = rate.choose(&hit.control.rate, now, random);
    // SAFETY: as above.
    unsafe { place.write_volatile(rate) };
    chosen
}

/// Whether the return of a call is probed.
#[inline(always)]
fn is_awaited(hit: &Hit, kept: &KeptCalls) -> bool {
    hit.facts() & site::NO_RETURN == 0 && (kept.spared == 0 || hit.cookie.is_leaf())
}

/// Notes a call in progress; false if there is no room.
#[inline(always)]
fn keep(hit: &Hit, kept: &mut KeptCalls, what: u64, now: u64, inside: bool) -> bool {
    let is_act = inside || hit.facts() & site::ACT != 0;
    kept.open.open(OpenCall {
        sp: hit.sp,
        site: hit.cookie.site() as u64 | budget::generation(hit) | what,
        start_ns: now,
        bytes: if is_act { INSIDE_ACT } else { 0 },
    })
}

/// The call that begins is not recorded after all: there is no slot.
#[inline(never)]
pub fn forget(hit: &Hit) -> u64 {
    if let Some(kept) = calls::known(&KEPT_CALLS, hit.cookie.target(), hit.tid) {
        kept.open.close(hit.sp, hit.cookie.site());
    }
    0
}

/// A call returns `value`: [`RECORD`], [`OVER`], or the time, where it was not recorded and is to be now ([`late`]).
#[inline(always)]
pub fn ends(hit: &mut Hit, value: u64) -> u64 {
    let Some(kept) = calls::known(&KEPT_CALLS, hit.cookie.target(), hit.tid) else {
        return RECORD;
    };
    let open = kept.open.close(hit.entered(), hit.cookie.site());
    let what = open.site >> 32 << 32;
    if what == HIDDEN {
        count::one(&mut hit.counters.return_filtered);
        return OVER;
    }
    if what != SKIPPED {
        return RECORD;
    }
    if !is_raise(hit.cookie.return_kind(), value) {
        count::one(&mut hit.counters.return_skipped);
        return OVER;
    }
    // One less.
    atomic::add(&mut hit.counters.skipped, u64::MAX);
    // SAFETY: the helper has no preconditions.
    unsafe { bpf_ktime_get_ns() }
}

/// Begins the record of the entry of a call that was not chosen, and raises. `None`, and counted: there is no slot.
#[inline(always)]
pub fn late(hit: &mut Hit) -> Option<&'static mut Slot> {
    let slot = remember(hit)?;
    attribution::find(slot, hit.target, hit.cookie.target());
    begin(slot, hit);
    Some(slot)
}

/// A slot with what was kept of the call that returns here.
#[inline(never)]
fn remember(hit: &mut Hit) -> Option<&'static mut Slot> {
    let kept = calls::known(&KEPT_CALLS, hit.cookie.target(), hit.tid);
    let slot = if kept.is_some() {
        scratch::take(hit.control)
    } else {
        None
    };
    let (Some(kept), Some(slot)) = (kept, slot) else {
        count::one(&mut hit.counters.dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    slot.kind = KIND_ENTRY as u32;
    slot.flags = FLAG_LATE;
    slot.sp = hit.entered();
    slot.time_ns = kept.closed().start_ns;
    slot.arguments = *kept.arguments();
    if hit.control.filters & FILTER_THREAD != 0 && filter::thread(hit.cookie.target(), hit.tid) == THREAD_NEW
    {
        slot.flags |= FLAG_NEW_THREAD;
    }
    find_frame(slot, hit);
    Some(slot)
}
