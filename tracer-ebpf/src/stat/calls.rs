//! A thread's calls in progress. Only the thread itself touches them.

use tracer_common::{
    aggregate::{Calls, INSIDE_ACT, MAX_OPEN, OpenCall},
    filter::thread_key,
};

use crate::maps::{CALLS, NO_CALLS};

const LAST: usize = MAX_OPEN - 1;
const _: () = assert!(MAX_OPEN.is_power_of_two());

/// The current thread's, if it has made any.
#[inline(always)]
pub fn known(target: u32, tid: u32) -> Option<&'static mut Calls> {
    let calls = CALLS.get_ptr_mut(thread_key(target, tid))?;
    // SAFETY: map values live as long as the program; the thread that runs it is the only one that uses these.
    Some(unsafe { &mut *calls })
}

/// The current thread's. `None`: there is no room.
#[inline(always)]
pub fn of(target: u32, tid: u32) -> Option<&'static mut Calls> {
    if let Some(calls) = known(target, tid) {
        return Some(calls);
    }
    let none = NO_CALLS.get(0)?;
    let _ = CALLS.insert(thread_key(target, tid), none, 0);
    known(target, tid)
}

/// Forgets calls that are over, though their return was not seen, by one of that site that begins there: a stack grows down. One at the
/// same stack pointer may have gone on in the other by a jump; then both return.
#[inline(always)]
pub fn close_above(calls: &mut Calls, sp: u64, site: u32) {
    let mut depth = calls.depth;
    for _ in 0..MAX_OPEN {
        if depth == 0 {
            break;
        }
        let open = &calls.open[depth.wrapping_sub(1) as usize & LAST];
        if !(open.sp < sp || open.sp == sp && open.site as u32 == site) {
            break;
        }
        depth -= 1;
    }
    calls.depth = depth;
}

/// Whether what begins there is part of an act in progress. One at the same stack pointer has nothing inside.
#[inline(always)]
pub fn is_inside_act(calls: &Calls, sp: u64) -> bool {
    let mut depth = calls.depth;
    for _ in 0..MAX_OPEN {
        if depth == 0 {
            return false;
        }
        let open = &calls.open[depth.wrapping_sub(1) as usize & LAST];
        if open.sp != sp {
            return open.bytes & INSIDE_ACT != 0;
        }
        depth -= 1;
    }
    false
}

/// Adds one; false if there is no room.
#[inline(always)]
pub fn open(calls: &mut Calls, open: OpenCall) -> bool {
    let depth = calls.depth;
    if depth >= MAX_OPEN as u64 {
        return false;
    }
    calls.open[depth as usize & LAST] = open;
    calls.depth = depth + 1;
    true
}

/// Takes the one of that site off that began there, with what is above it, which is over as well; zeros: there is none.
#[inline(always)]
pub fn close(calls: &mut Calls, sp: u64, site: u32) -> OpenCall {
    let mut depth = calls.depth;
    for _ in 0..MAX_OPEN {
        if depth == 0 {
            break;
        }
        depth -= 1;
        let open = calls.open[depth as usize & LAST];
        if open.sp == sp && open.site as u32 == site {
            calls.depth = depth;
            return open;
        }
    }
    OpenCall::default()
}
