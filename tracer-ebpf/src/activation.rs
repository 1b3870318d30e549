//! Runs of Python functions: which of them are wanted, where they begin and how they end.
//!
//! Every Python function of the process comes by here, so what nobody asked for has to be told with few reads.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    bindings::pt_regs,
    helpers::{
        bpf_ktime_get_ns,
        generated::{bpf_get_attach_cookie, bpf_loop},
    },
    programs::ProbeContext,
};
use tracer_common::{
    activation::{PackedPlace, RUN_NONE, RUN_THROWN, RUN_YIELDED, Role, UNWANTED, WANTED},
    cookie::{Register, ReturnKind},
    counters::{Control, SiteCounters},
    encode::{
        Cursor, Run, Slot, begin_return, begin_run, code_of, frame_step, innermost_frame, is_raising,
        is_yielding, quick_key, returned, run_flags,
    },
    filter::thread_key,
    limits::MAX_FRAMES,
    target::Target,
    wire::{KIND_ENTRY, KIND_RETURN, RecordHeader, Tag, value_word},
};

use crate::{
    attribution, codes, count,
    maps::{CONTROL, RUN_VERDICTS, RUNS, TARGETS},
    memory::User,
    probe::{self, save_registers},
    record::{encode, send},
    scratch, thread,
};

/// Steps of the walk over frames at most: those that stand for C code are passed over.
const MAX_WALK: u32 = 4 * MAX_FRAMES + 36;

/// What became of a hit.
const FILTERED: u64 = 0;
const READY: u64 = 1;

/// What the program finds out first; in its frame, as [`crate::probe`]'s.
struct Hit {
    place: PackedPlace,
    target: &'static Target,
    counters: &'static mut SiteCounters,
    control: &'static mut Control,
    tid: u32,
}

/// The program.
#[inline(always)]
pub fn probe(ctx: &ProbeContext) {
    // SAFETY: the context is the one the kernel gave this program.
    let place = PackedPlace(unsafe { bpf_get_attach_cookie(ctx.as_ptr()) });
    let Some(counters) = count::of(place.site()) else {
        return;
    };
    let regs = ctx.as_ptr().cast::<pt_regs>();
    // SAFETY: a uprobe's context is the thread's registers.
    if !place.happens(unsafe { (*regs).eflags }) {
        return;
    }
    count::one(&mut counters.hits);
    if probe::is_replaced(place.target()) {
        return;
    }
    let (Some(target), Some(control)) = (TARGETS.get(place.target()), CONTROL.get_ptr_mut(0)) else {
        return;
    };
    // SAFETY: map values live as long as the program; what changes is only touched atomically.
    let control = unsafe { &mut *control };
    let mut hit = Hit {
        place,
        target,
        counters,
        control,
        tid: 0,
    };
    let Some(slot) = arrive(regs, &mut hit) else {
        return;
    };
    let found = if place.begins() {
        begin(slot, hit.target, place, hit.tid)
    } else {
        end(slot, hit.target, place, hit.tid)
    };
    if found == FILTERED {
        scratch::give_back(slot);
        count::one(&mut hit.counters.filtered);
        return;
    }
    // SAFETY: the helper has no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    let slot = encode(slot, hit.target);
    finish(slot, &mut hit, time_ns);
}

/// A slot with the registers. `None`, and counted: there is none.
#[inline(never)]
fn arrive(regs: *const pt_regs, hit: &mut Hit) -> Option<&'static mut Slot> {
    let Some(slot) = scratch::take(hit.control) else {
        count::one(&mut hit.counters.dropped);
        count::one(&mut hit.control.dropped);
        return None;
    };
    slot.reset();
    save_registers(regs, &mut slot.registers);
    hit.tid = thread::id(hit.target);
    Some(slot)
}

/// What a register holds.
#[inline(always)]
fn register(slot: &Slot, n: u8) -> u64 {
    slot.registers[n as usize & 15]
}

/// Stands for a run in progress.
#[inline(always)]
fn key(slot: &Slot, place: PackedPlace, tid: u32) -> [u64; 2] {
    [thread_key(place.target(), tid), register(slot, place.frame())]
}

/// Prepares the record of a run that begins.
#[inline(never)]
fn begin(slot: &mut Slot, target: &'static Target, place: PackedPlace, tid: u32) -> u64 {
    let frame = register(slot, place.frame());
    if place.role() == Role::Throw as u8 && register(slot, place.value()) as u32 == 0 {
        return FILTERED;
    }
    let Some(code) = code_of(target, &mut User, frame) else {
        return FILTERED;
    };
    let Some(quick) = quick_key(slot, target, &mut User, code) else {
        return FILTERED;
    };
    // SAFETY: plain words.
    let verdict = unsafe { RUN_VERDICTS.get([place.target() as u64, quick]) }
        .copied()
        .unwrap_or(0);
    if verdict == UNWANTED {
        return FILTERED;
    }
    let flags = run_flags(slot, target, &mut User, place.role(), frame);
    if flags == RUN_NONE {
        return FILTERED;
    }
    let key = key(slot, place, tid);
    if RUNS.insert(key, 0, 0).is_err() {
        return FILTERED;
    }
    let run = Run {
        frame,
        code,
        key: quick,
        flags,
    };
    if target.attribution.is_wanted() {
        slot.tstate = thread::state(slot, target, place.target(), tid);
    }
    frames(slot, target, place, run, tid);
    if target.attribution.is_wanted() {
        attribution::find(slot, target, place.target());
    }
    begin_run(slot, target, &mut User, run, (verdict != WANTED) as u64);
    READY
}

/// Writes the frame that begins, and as many of those behind it as an event shows.
#[inline(always)]
fn frames(slot: &mut Slot, target: &'static Target, place: PackedPlace, run: Run, tid: u32) {
    let behind = target.limits.stack as u64;
    if run.flags & RUN_THROWN != 0 {
        // The frame is not yet linked to the one behind it.
        let tstate = thread::state(slot, target, place.target(), tid);
        let previous = innermost_frame(slot, target, &mut User, tstate);
        slot.push(Cursor::frames(previous, behind));
        slot.push(Cursor::frames(run.frame, 1));
    } else {
        slot.push(Cursor::frames(run.frame, behind + 1));
    }
    let mut walk = Walk { slot, target };
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_WALK, look as *mut c_void, (&raw mut walk).cast(), 0);
    }
    walk.slot.depth = 0;
}

struct Walk<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
}

/// One frame of the walk; 1 ends the loop.
#[inline(never)]
extern "C" fn look(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `frames` passes its own state.
    let walk = unsafe { &mut *context.cast::<Walk<'_>>() };
    frame_step(walk.slot, walk.target, &mut User);
    (walk.slot.depth == 0) as i64
}

/// Prepares the record of a run that ends.
#[inline(never)]
fn end(slot: &mut Slot, target: &'static Target, place: PackedPlace, tid: u32) -> u64 {
    let key = key(slot, place, tid);
    // SAFETY: the value is not looked at.
    if unsafe { RUNS.get(key) }.is_none() {
        return FILTERED;
    }
    let frame = register(slot, place.frame());
    let unwinds = place.role() == Role::Unwind as u8;
    let value = if unwinds {
        0
    } else {
        let register = register(slot, place.value());
        returned(target, &mut User, place, frame, register)
    };
    let mut tstate = 0;
    if value == 0 {
        tstate = thread::state(slot, target, place.target(), tid);
    }
    if unwinds && !is_raising(target, &mut User, tstate) {
        return FILTERED;
    }
    let _ = RUNS.remove(key);
    let yields = if place.role() == Role::EvalEnd as u8 {
        value != 0 && is_yielding(slot, target, &mut User, frame)
    } else {
        place.role() == Role::Yield as u8
    };
    let flags = if yields { RUN_YIELDED } else { 0 };
    slot.push_word(value_word(Tag::Activation, flags, 1));
    slot.push_word(frame);
    begin_return(slot, target, &mut User, ReturnKind::Object as u8, value, tstate);
    READY
}

/// Hands the record over, counts what became of it, and gives the slot back.
#[inline(never)]
fn finish(slot: &mut Slot, hit: &mut Hit, time_ns: u64) -> u64 {
    let (place, tid) = (hit.place, hit.tid);
    let header = RecordHeader {
        kind: if place.begins() { KIND_ENTRY } else { KIND_RETURN },
        target: place.target() as u16,
        site: place.site(),
        tid,
        time_ns,
        sp: register(slot, Register::Rsp as u8),
        ..RecordHeader::default()
    };
    count::losses(slot, hit.counters);
    if place.begins() {
        let whose = (place.target(), tid);
        codes::send_new(slot, hit.target, hit.control, User, whose, MAX_FRAMES);
    }
    if send(slot, header) {
        count::one(&mut hit.counters.delivered);
    } else {
        count::one(&mut hit.counters.dropped);
        count::one(&mut hit.control.dropped);
        // Whose beginning was lost has no end.
        if place.begins() {
            let _ = RUNS.remove(key(slot, place, tid));
        }
    }
    scratch::give_back(slot);
    0
}
