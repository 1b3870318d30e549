//! Calls that are left out in the kernel, so that they cost no copy. The daemon judges names, which only it can
//! read, and writes its verdicts into maps; what nobody has judged yet is delivered.

/// In [`crate::counters::Control::filters`]: by the code objects of the Python frames (`--in`).
pub const FILTER_CODE: u64 = 1;
/// By the thread (`--thread`).
pub const FILTER_THREAD: u64 = 2;

/// A thread's calls are left out.
pub const THREAD_HIDDEN: u64 = 1;
/// They are delivered.
pub const THREAD_SHOWN: u64 = 2;
/// Nobody has judged it yet.
pub const THREAD_NEW: u64 = 0;

/// Code objects whose calls are left out: target index, address, [`crate::fingerprint::code_object`]. An object
/// that gets the address of a freed one does not inherit its verdict.
pub type CodeKey = [u64; 3];

/// Name of a thread (`comm`, 16 bytes) when it was judged, and the verdict (`THREAD_*`). It holds as long as
/// the thread has that name.
pub type ThreadVerdict = [u64; 3];

/// Stands for a thread, in every map that has something of it: target index, and thread id as the process sees it.
#[inline(always)]
pub const fn thread_key(target: u32, tid: u32) -> u64 {
    (target as u64) << 32 | tid as u64
}

/// A call in progress that was left out at its entry, so that its return is too: stack pointer at entry, then
/// thread id (the host's) and site.
pub type CallKey = [u64; 2];

/// Makes a [`CallKey`].
#[inline(always)]
pub const fn call_key(sp: u64, thread: u32, site: u32) -> CallKey {
    [sp, (thread as u64) << 32 | site as u64]
}

/// Verdicts on code objects kept, and on threads, and calls in progress that were left out. The oldest are
/// forgotten: then records are delivered, and the daemon leaves them out.
pub const MAX_VERDICTS: u32 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_parts_apart() {
        assert_eq!(thread_key(3, 77), 3 << 32 | 77);
        assert_eq!(call_key(0x7ff0, 77, 5), [0x7ff0, 77 << 32 | 5]);
        assert_ne!(call_key(0x7ff0, 5, 77), call_key(0x7ff0, 77, 5));
    }
}
