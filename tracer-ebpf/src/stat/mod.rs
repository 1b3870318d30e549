//! Calls that are added up here, by function and calling place, and not recorded.
//!
//! What a call costs is what it reads: who calls is told by four or five reads of the process's memory, no value is read but the
//! size of one where the function moves bytes, and nothing goes to the ring buffer but, once each, what names a place.

mod place;

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    helpers::bpf_ktime_get_ns,
    programs::{ProbeContext, RetProbeContext},
};
use tracer_common::{
    aggregate::{Aggregate, Calls, bucket, site},
    cookie::{COOKIE_REGISTERS, ReturnKind, SelfKind},
    encode::{
        Memory as _, Slot, UNKNOWN_SIZE, as_call, bytes_in, innermost_frame, is_raise, new_exception,
        positional,
    },
    guard,
    open::{INSIDE_ACT, OpenCall},
};

use crate::{
    atomic, budget, calls, count, load,
    maps::{AGGREGATES, CALLS, NO_CALLS},
    memory::User,
    probe::{Hit, hit, is_return, registers, save_registers},
    scratch, thread,
};

/// Whether the end of a call is awaited.
const AWAITED: u64 = 0;
const OVER: u64 = 1;

/// A call is part of another one's act, and not counted.
const LEFT_OUT: u64 = 1;

/// Serves entry and return. True, at the entry: the return is not to be probed.
#[inline(always)]
pub fn session(ctx: &ProbeContext) -> bool {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return true;
    };
    let returns = is_return(ctx);
    let over = if returns {
        depart(hit, regs.rax);
        OVER
    } else if budget::is_shut(hit) {
        OVER
    } else {
        arrive(ctx, hit)
    };
    budget::charge(hit, returns);
    over == OVER
}

/// The program for entries alone.
#[inline(always)]
pub fn entry(ctx: &ProbeContext) {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return;
    };
    let goes_on = !hit.is_guard() || guard::goes_on(hit.cookie, regs.eflags);
    if goes_on && !budget::is_shut(hit) {
        arrive(ctx, hit);
    }
    budget::charge(hit, false);
}

/// The program for returns alone.
#[inline(always)]
pub fn leave(ctx: &RetProbeContext) {
    let regs = registers(ctx.as_ptr());
    let mut place = MaybeUninit::uninit();
    let Some(hit) = hit(ctx.as_ptr(), regs.rsp, &mut place) else {
        return;
    };
    if !budget::is_shut(hit) {
        depart(hit, regs.rax);
    }
    budget::charge(hit, true);
}

/// Counts a call that begins; whether its end is awaited.
///
/// Its parts are functions of their own, called one after the other: as in [`crate::probe`], kernels before 6.13 give all frames of a path
/// together 512 bytes.
#[inline(always)]
fn arrive(ctx: &ProbeContext, hit: &mut Hit) -> u64 {
    count::one(&mut hit.counters.hits);
    hit.tid = thread::id(hit.target);
    let Some(calls) = calls::of(&CALLS, &NO_CALLS, hit.cookie.target(), hit.tid) else {
        count::one(&mut hit.counters.dropped);
        return OVER;
    };
    let inside = enter(calls, hit);
    if inside == LEFT_OUT {
        count::one(&mut hit.counters.filtered);
        return OVER;
    }
    let Some(slot) = scratch::take(hit.control) else {
        count::one(&mut hit.counters.dropped);
        return OVER;
    };
    slot.reset();
    let ty = look(ctx, slot, hit, calls);
    let index = counted(slot, hit, ty, calls);
    if let Some(aggregate) = aggregate(index)
        && aggregate.told == 0
    {
        place::tell(slot, hit, index, ty);
    }
    let bytes = match site::argument(hit.facts()) {
        0 => 0,
        position => given(slot, hit, position - 1),
    };
    scratch::give_back(slot);
    if index == place::NONE {
        count::one(&mut hit.counters.filtered);
        return OVER;
    }
    count::one(&mut hit.counters.delivered);
    await_end(calls, hit, index, bytes & !INSIDE_ACT | inside)
}

/// Ends what is over by this call; whether it is part of an act: [`INSIDE_ACT`], 0, or [`LEFT_OUT`] if it is one and so not counted.
#[inline(always)]
fn enter(calls: &mut Calls, hit: &Hit) -> u64 {
    calls.open.close_above(hit.sp, hit.cookie.site());
    if !calls
        .open
        .is_inside_act(hit.sp, |open| budget::is_gone(hit, open))
    {
        return 0;
    }
    if hit.facts() & site::NAMED == 0 && hit.control.nested == 0 {
        LEFT_OUT
    } else {
        INSIDE_ACT
    }
}

/// Notes a call in progress, if its return is probed.
#[inline(always)]
fn await_end(calls: &mut Calls, hit: &Hit, index: u64, bytes: u64) -> u64 {
    let facts = hit.facts();
    let is_spared = !hit.cookie.is_leaf() && load::is_spared(hit.cookie.target());
    if facts & site::NO_RETURN != 0 || is_spared {
        return OVER;
    }
    let act = if facts & site::ACT != 0 { INSIDE_ACT } else { 0 };
    let open = OpenCall {
        sp: hit.sp,
        site: hit.cookie.site() as u64 | budget::generation(hit) | index << 32,
        // SAFETY: the helper has no preconditions.
        start_ns: unsafe { bpf_ktime_get_ns() },
        bytes: bytes | act,
    };
    if calls.open.open(open) { AWAITED } else { OVER }
}

/// Adds a call to those from where it comes; the index of its [`Aggregate`]. [`place::NONE`]: what is probed did not happen.
#[inline(never)]
fn counted(slot: &mut Slot, hit: &mut Hit, ty: u64, calls: &mut Calls) -> u64 {
    let frame = slot.innermost;
    if hit.cookie.self_kind() == SelfKind::Exception as u8
        && new_exception(hit.target, &mut User, slot.tstate, frame).is_none()
    {
        return place::NONE;
    }
    let index = place::of(slot, hit, frame, ty, calls);
    if let Some(aggregate) = aggregate(index) {
        count::one(&mut aggregate.calls);
    }
    index
}

/// Puts the thread's innermost frame into the slot and, where they are needed, the C arguments; the type by which the call is
/// named, 0: none.
#[inline(never)]
fn look(ctx: &ProbeContext, slot: &mut Slot, hit: &Hit, calls: &mut Calls) -> u64 {
    let tstate = thread::remembered_state(slot, hit.target, hit.tid, &mut calls.tstate);
    slot.tstate = tstate;
    slot.innermost = innermost_frame(slot, hit.target, &mut User, tstate);
    let facts = hit.facts();
    if facts & site::BY_TYPE == 0 && site::argument(facts) == 0 {
        return 0;
    }
    arguments(ctx, slot, hit);
    if facts & site::BY_TYPE == 0 {
        return 0;
    }
    type_of(slot.arguments[0], hit)
}

/// Puts the C arguments into the slot.
#[inline(always)]
fn arguments(ctx: &ProbeContext, slot: &mut Slot, hit: &Hit) {
    save_registers(registers(ctx.as_ptr()), &mut slot.registers);
    for i in 0..COOKIE_REGISTERS {
        slot.arguments[i] = slot.registers[hit.cookie.register(i as u32) as usize & 15];
    }
}

/// The type by which a call is named; 0: it cannot be read.
#[inline(always)]
fn type_of(first: u64, hit: &Hit) -> u64 {
    if hit.cookie.self_kind() == SelfKind::Type as u8 {
        return first;
    }
    User.pointer(first.wrapping_add(hit.target.offsets.ob_type as u64))
        .unwrap_or(0)
}

/// Bytes of the argument that holds what is written, [`UNKNOWN_SIZE`] if they cannot be told.
#[inline(never)]
fn given(slot: &Slot, hit: &Hit, position: u64) -> u64 {
    let convention = as_call(hit.cookie.convention());
    let object = positional(hit.target, &mut User, convention, slot.arguments, position);
    if object == 0 {
        return UNKNOWN_SIZE;
    }
    bytes_in(hit.target, &mut User, object)
}

#[inline(always)]
fn aggregate(index: u64) -> Option<&'static mut Aggregate> {
    let aggregate = AGGREGATES.get_ptr_mut(index as u32)?;
    // SAFETY: map values live as long as the program; fields are only touched atomically.
    Some(unsafe { &mut *aggregate })
}

/// Adds what became of a call that returns `value`.
#[inline(always)]
fn depart(hit: &mut Hit, value: u64) -> u64 {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    count::one(&mut hit.counters.return_hits);
    count::one(&mut hit.counters.return_delivered);
    hit.tid = thread::id(hit.target);
    let Some(calls) = calls::known(&CALLS, hit.cookie.target(), hit.tid) else {
        return 0;
    };
    let open = calls.open.close(hit.entered(), hit.cookie.site());
    if open.sp == 0 {
        return 0;
    }
    let Some(aggregate) = aggregate(open.site >> 32) else {
        return 0;
    };
    let ns = now.wrapping_sub(open.start_ns);
    count::one(&mut aggregate.ended);
    atomic::add(&mut aggregate.total_ns, ns);
    atomic::max(&mut aggregate.max_ns, ns);
    if let Some(counter) = aggregate.histogram.get_mut(bucket(ns)) {
        count::one(counter);
    }
    if is_raise(hit.cookie.return_kind(), value) {
        count::one(&mut aggregate.errors);
        return 0;
    }
    let facts = hit.facts();
    if facts & site::RESULT == 0 || hit.cookie.return_kind() != ReturnKind::Object as u8 {
        return 0;
    }
    let moved = if value == hit.target.known.none {
        open.bytes & !INSIDE_ACT
    } else {
        bytes_in(hit.target, &mut User, value)
    };
    if moved < UNKNOWN_SIZE {
        atomic::add(&mut aggregate.bytes, moved);
    } else {
        count::one(&mut aggregate.unsized_calls);
    }
    0
}
