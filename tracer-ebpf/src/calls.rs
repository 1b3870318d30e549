//! What is kept of threads while their calls are in progress. Only the thread itself touches it.

use aya_ebpf::maps::{Array, LruHashMap};
use tracer_common::filter::thread_key;

/// The current thread's, if it has made any calls.
#[expect(
    clippy::mut_from_ref,
    reason = "what is in a map is not in the static that stands for it"
)]
#[inline(always)]
pub fn known<T>(map: &'static LruHashMap<u64, T>, target: u32, tid: u32) -> Option<&'static mut T> {
    let calls = map.get_ptr_mut(thread_key(target, tid))?;
    // SAFETY: map values live as long as the program; the thread that runs it is the only one that uses these.
    Some(unsafe { &mut *calls })
}

/// The current thread's. `none`: the one of a thread that has made no calls. `None`: there is no room.
#[inline(always)]
pub fn of<T>(
    map: &'static LruHashMap<u64, T>,
    none: &'static Array<T>,
    target: u32,
    tid: u32,
) -> Option<&'static mut T> {
    if let Some(calls) = known(map, target, tid) {
        return Some(calls);
    }
    let none = none.get(0)?;
    let _ = map.insert(thread_key(target, tid), none, 0);
    known(map, target, tid)
}
