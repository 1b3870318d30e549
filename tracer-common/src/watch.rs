//! What happens to processes rather than inside calls: told through a small ring buffer of its own, so
//! that a flood of calls never hides that a process waits.

/// A process begins another program (exec).
pub const EXEC: u32 = 1;
/// Python has started and is about to run the program's own code.
pub const BEGINS: u32 = 2;
/// An extension module was executed: there may be new functions.
pub const LOADED: u32 = 3;
/// A forked Python process is about to run on.
pub const FORKED: u32 = 4;
/// A program's libraries are in its memory, none of its own code has run yet.
pub const LINKED: u32 = 5;

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Happening {
    /// What: [`EXEC`], [`BEGINS`], [`LOADED`], [`FORKED`], [`LINKED`].
    pub what: u32,
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// The process it was forked from, where that is known; else 0.
    pub parent: u32,
    /// 1: the process is stopped until the daemon lets it go on.
    pub held: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
}

const _: () = assert!(size_of::<Happening>() == 24);

/// Attach cookie of a probe that watches: what it tells, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCookie {
    pub what: u32,
    /// Stop the process.
    pub stop: bool,
    /// Only where the first C argument is the text [`RUNPY`].
    pub runpy: bool,
    /// Only in followed processes.
    pub followed: bool,
}

/// What `python -m` imports before the program, as the eight bytes read (NUL and garbage after it).
pub const RUNPY: u64 = u64::from_le_bytes(*b"runpy\0\0\0");
/// The bytes of [`RUNPY`] that count: the text and its NUL.
pub const RUNPY_MASK: u64 = (1 << 48) - 1;

const STOP: u64 = 1 << 32;
const IF_RUNPY: u64 = 1 << 33;
const IF_FOLLOWED: u64 = 1 << 34;

impl WatchCookie {
    /// The cookie as the kernel keeps it.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.what as u64
            | if self.stop { STOP } else { 0 }
            | if self.runpy { IF_RUNPY } else { 0 }
            | if self.followed { IF_FOLLOWED } else { 0 }
    }

    /// The other way round.
    #[inline(always)]
    pub const fn unpack(cookie: u64) -> Self {
        Self {
            what: cookie as u32,
            stop: cookie & STOP != 0,
            runpy: cookie & IF_RUNPY != 0,
            followed: cookie & IF_FOLLOWED != 0,
        }
    }
}

/// What the kernel half has to know to see forks: offsets in its own `task_struct` (from its BTF).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskOffsets {
    pub tgid: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_unpack_to_what_was_packed() {
        for bits in 0..8 {
            let cookie = WatchCookie {
                what: LOADED,
                stop: bits & 1 != 0,
                runpy: bits & 2 != 0,
                followed: bits & 4 != 0,
            };
            assert_eq!(WatchCookie::unpack(cookie.pack()), cookie);
        }
    }
}
