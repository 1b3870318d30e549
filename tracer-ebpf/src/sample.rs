//! Samples: where a thread of a traced process is when the clock ticks.
//!
//! The program runs in an interrupt, whatever the thread was about. Its frames do not change meanwhile, for it is the
//! thread itself that is interrupted; but it may be in the midst of changing them, so nothing read is believed.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_task, bpf_ktime_get_ns, generated::bpf_loop,
};
use tracer_common::{
    counters::Control,
    encode::{Cursor, Memory as _, Slot, frame_step, innermost_frame},
    filter::thread_key,
    limits::MAX_FRAMES,
    sample::{SAMPLE_CODES, SAMPLE_FRAMES, SAMPLE_THREADS, SampleCounters, Sampling},
    target::{ABSENT, Target},
    wire::{FLAG_CUT, FLAG_FRAME_FAULT, FLAG_NO_TSTATE, FrameRecord, KIND_SAMPLE, RecordHeader},
};

use crate::{
    codes, count,
    handle::read,
    maps::{CONTROL, SAMPLED, SAMPLES, SAMPLING, TARGETS, THREADS},
    memory::Resident,
    record::send,
    scratch, thread,
};

/// Turns of the walk: frames that stand for C code count, too.
const MAX_WALK: u32 = 4 * MAX_FRAMES + 18;
/// Words of a frame in a record.
const WORDS: u32 = (FrameRecord::SIZE / 8) as u32;

/// Who was interrupted.
struct Tick {
    target: &'static Target,
    control: &'static Control,
    index: u32,
    tid: u32,
    frames: u32,
    fs_base: u64,
}

/// The program.
#[inline(always)]
pub fn tick() {
    let Some(sampling) = SAMPLING.get(0) else { return };
    // SAFETY: map values are plain words.
    let Some(index) = process(sampling).and_then(|pid| unsafe { SAMPLED.get(pid) }) else {
        return;
    };
    let Some(counters) = counters() else { return };
    count::one(&mut counters.taken);
    match of_thread(sampling, *index) {
        Some(true) => count::one(&mut counters.delivered),
        _ => count::one(&mut counters.dropped),
    }
}

#[inline(always)]
fn counters() -> Option<&'static mut SampleCounters> {
    let counters = SAMPLES.get_ptr_mut(0)?;
    // SAFETY: map values live as long as the program; fields are only touched by atomic addition.
    Some(unsafe { &mut *counters })
}

/// The current process, as the daemon knows it; `None`: it is in another pid namespace.
#[inline(always)]
fn process(sampling: &Sampling) -> Option<u32> {
    if sampling.pidns_ino == 0 {
        return Some((bpf_get_current_pid_tgid() >> 32) as u32);
    }
    thread::ids_in(sampling.pidns_dev, sampling.pidns_ino).map(|ids| ids.tgid)
}

/// Whether the sample was handed over.
#[inline(always)]
fn of_thread(sampling: &Sampling, index: u32) -> Option<bool> {
    let target = TARGETS.get(index)?;
    let control = CONTROL.get(0)?;
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let mut tick = Tick {
        target,
        control,
        index,
        tid: thread::id(target),
        frames: (sampling.frames as u32).min(SAMPLE_FRAMES),
        fs_base: read(task, sampling.fs_base)?,
    };
    let slot = scratch::take(control)?;
    slot.reset();
    find(slot, &mut tick);
    walk(slot, &tick);
    Some(finish(slot, &tick) != 0)
}

/// Puts the thread's innermost frame into the slot.
#[inline(never)]
fn find(slot: &mut Slot, tick: &mut Tick) -> u64 {
    let tstate = state(slot, tick);
    slot.innermost = innermost_frame(slot, tick.target, &mut Resident, tstate);
    0
}

/// The `PyThreadState` of the interrupted thread, 0 if there is none: the one in use, or, where the thread has let go of
/// the interpreter, the one that it goes on with.
#[inline(always)]
fn state(slot: &mut Slot, tick: &Tick) -> u64 {
    let o = &tick.target.offsets;
    let mut search = Search {
        target: tick.target,
        fs_base: tick.fs_base,
        interpreter: 0,
        tstate: 0,
        found: 0,
        ended: 0,
    };
    // Up to 3.11 the one that has the GIL is known.
    if tick.target.tstate_current != 0
        && let Some(tstate) = Resident.pointer(tick.target.tstate_current)
        && search.is_its(tstate)
    {
        return tstate;
    }
    let key = thread_key(tick.index, tick.tid);
    // SAFETY: map values are plain words; a torn read cannot happen on x86-64.
    if let Some(cached) = unsafe { THREADS.get(key) } {
        let tstate = *cached;
        if search.is_its(tstate) && (o.tstate_status == ABSENT || search.is_active(tstate)) {
            return tstate;
        }
    }
    search.interpreter = Resident.pointer(tick.target.interpreters_head).unwrap_or(0);
    search.tstate = search.first_thread();
    // SAFETY: `look` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(SAMPLE_THREADS, look as *mut c_void, (&raw mut search).cast(), 0);
    }
    if search.found != 0 {
        let _ = THREADS.insert(key, search.found, 0);
    } else {
        slot.flags |= FLAG_NO_TSTATE;
        if search.ended == 0 {
            slot.flags |= FLAG_FRAME_FAULT;
        }
    }
    search.found
}

/// The walk over all interpreters' threads. The newest come first, interpreters and states alike.
struct Search {
    target: &'static Target,
    fs_base: u64,
    interpreter: u64,
    tstate: u64,
    found: u64,
    /// Not 0: all were looked at.
    ended: u64,
}

impl Search {
    #[inline(always)]
    fn is_its(&self, tstate: u64) -> bool {
        tstate != 0 && Resident.field(tstate, self.target.offsets.tstate_thread_id) == Some(self.fs_base)
    }

    /// Is it the one in use (3.12+)?
    #[inline(always)]
    fn is_active(&self, tstate: u64) -> bool {
        let o = &self.target.offsets;
        Resident
            .u32(tstate.wrapping_add(o.tstate_status as u64))
            .is_some_and(|status| status >> (o.tstate_active_bit & 31) & 1 != 0)
    }

    #[inline(always)]
    fn first_thread(&self) -> u64 {
        if self.interpreter == 0 {
            return 0;
        }
        let head = self.target.offsets.interp_threads_head;
        Resident.field(self.interpreter, head).unwrap_or(0)
    }
}

/// One thread state of the walk; 1 ends the loop. A thread may have a state in several interpreters: the one in use
/// counts, else the newest.
#[inline(never)]
extern "C" fn look(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `state` passes its own state.
    let search = unsafe { &mut *context.cast::<Search>() };
    let o = &search.target.offsets;
    if search.tstate == 0 {
        if search.interpreter == 0 {
            search.ended = 1;
            return 1;
        }
        search.interpreter = Resident.field(search.interpreter, o.interp_next).unwrap_or(0);
        search.tstate = search.first_thread();
        return 0;
    }
    let tstate = search.tstate;
    if search.is_its(tstate) {
        let is_active = o.tstate_status != ABSENT && search.is_active(tstate);
        if is_active || search.found == 0 {
            search.found = tstate;
        }
        if is_active {
            return 1;
        }
    }
    search.tstate = Resident.field(tstate, o.tstate_next).unwrap_or(0);
    0
}

/// Writes the frames.
#[inline(never)]
fn walk(slot: &mut Slot, tick: &Tick) -> u64 {
    let frame = slot.innermost;
    slot.push(Cursor::frames(frame, tick.frames as u64 + 1));
    let mut walk = Walk {
        slot,
        target: tick.target,
    };
    // SAFETY: `step` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_WALK, step as *mut c_void, (&raw mut walk).cast(), 0);
    }
    let slot = walk.slot;
    if slot.depth != 0 {
        slot.flags |= FLAG_CUT;
        slot.depth = 0;
    }
    if slot.frames > tick.frames {
        slot.flags |= FLAG_CUT;
        slot.frames -= 1;
        slot.len -= WORDS;
    }
    0
}

struct Walk<'a> {
    slot: &'a mut Slot,
    target: &'static Target,
}

/// One frame of the walk; 1 ends the loop.
#[inline(never)]
extern "C" fn step(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `walk` passes its own state.
    let walk = unsafe { &mut *context.cast::<Walk<'_>>() };
    frame_step(walk.slot, walk.target, &mut Resident);
    (walk.slot.depth == 0) as i64
}

/// Hands the sample over, and gives the slot back; 0: it was lost.
#[inline(never)]
fn finish(slot: &mut Slot, tick: &Tick) -> u64 {
    let whose = (tick.index, tick.tid);
    codes::send_new(slot, tick.target, tick.control, Resident, whose, SAMPLE_CODES);
    // SAFETY: the helper has no preconditions.
    let time_ns = unsafe { bpf_ktime_get_ns() };
    let header = RecordHeader {
        kind: KIND_SAMPLE,
        target: tick.index as u16,
        tid: tick.tid,
        time_ns,
        ..RecordHeader::default()
    };
    let sent = send(slot, header);
    scratch::give_back(slot);
    sent as u64
}
