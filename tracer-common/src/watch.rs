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
/// A process that is not followed was forked, with a copy of its parent's memory: the breakpoints are in it.
pub const COPIED: u32 = 6;

/// Followed in the place of a process: none that begins another program is held. [`TELL_ALL`]: each is told, [`TELL_FOLLOWED`]: those that
/// are followed.
pub const EVERY_PROCESS: u32 = 0;
pub const TELL_ALL: u32 = 1;
pub const TELL_FOLLOWED: u32 = 2;

/// One of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Happening {
    /// What: [`EXEC`], [`BEGINS`], [`LOADED`], [`FORKED`], [`LINKED`], [`COPIED`].
    pub what: u32,
    /// Process id in the initial pid namespace.
    pub pid: u32,
    /// The process it was forked from, where that is known; else 0.
    pub parent: u32,
    /// 1: the process is stopped until the daemon lets it go on.
    pub held: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds. Also tells which stop of the process it was.
    pub time_ns: u64,
}

const _: () = assert!(size_of::<Happening>() == 24);

/// Attach cookie of a probe that watches: what it tells, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCookie {
    pub what: u32,
    /// Stop the process.
    pub stop: bool,
    /// Only where the first C argument is this text.
    pub text: Text,
    /// Only in followed processes.
    pub followed: bool,
}

/// What the first C argument, a C string, must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Text {
    /// It is not looked at.
    Any = 0,
    /// `runpy`: what `python -m` imports before the program.
    Runpy = 1,
    /// It starts with `cpython.run_`: the audit events before the program (3.8+).
    Run = 2,
}

impl Text {
    /// Whether the string's first bytes are right.
    #[inline(always)]
    pub const fn is(self, first: [u64; 2]) -> bool {
        const RUNPY: u64 = u64::from_le_bytes(*b"runpy\0\0\0");
        const CPYTHON: u64 = u64::from_le_bytes(*b"cpython.");
        const RUN: u64 = u64::from_le_bytes(*b"run_\0\0\0\0");
        match self {
            Self::Any => true,
            // The text and its NUL; what follows is not part of it.
            Self::Runpy => first[0] << 16 == RUNPY << 16,
            Self::Run => first[0] == CPYTHON && first[1] << 32 == RUN << 32,
        }
    }
}

const STOP: u64 = 1 << 32;
const IF_FOLLOWED: u64 = 1 << 33;
const TEXT_SHIFT: u32 = 40;

impl WatchCookie {
    /// The cookie as the kernel keeps it.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.what as u64
            | if self.stop { STOP } else { 0 }
            | (self.text as u64) << TEXT_SHIFT
            | if self.followed { IF_FOLLOWED } else { 0 }
    }

    /// The other way round.
    #[inline(always)]
    pub const fn unpack(cookie: u64) -> Self {
        Self {
            what: cookie as u32,
            stop: cookie & STOP != 0,
            text: match cookie >> TEXT_SHIFT & 3 {
                1 => Text::Runpy,
                2 => Text::Run,
                _ => Text::Any,
            },
            followed: cookie & IF_FOLLOWED != 0,
        }
    }
}

/// What the kernel half has to know of tasks: offsets in the kernel's own structs (from its BTF).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskOffsets {
    /// `task_struct.tgid`, for forks.
    pub tgid: u64,
    /// 1: children of followed processes are followed too; 0: [`COPIED`] is told of them.
    pub follow: u64,
    /// `task_struct.blocked`, `task_struct.sighand`, and in that `action`: for what a process does about signals. 0: not
    /// known.
    pub blocked: u64,
    pub sighand: u64,
    pub action: u64,
    /// `task_struct.real_parent`, `task_struct.signal`, and in that `pids`: for its process group and session.
    pub real_parent: u64,
    pub signal: u64,
    pub pids: u64,
}

const _: () = assert!(size_of::<TaskOffsets>() == 64);

impl TaskOffsets {
    /// Where in its `sighand_struct` a task has the handler of a signal: `struct k_sigaction` begins with it, and has
    /// four words on x86-64 (include/linux/signal_types.h).
    #[inline(always)]
    pub const fn handler(&self, signal: u32) -> u64 {
        self.action + (signal as u64 - 1) * 32
    }

    /// Where in its `signal_struct` a task has its process group, and, one word on, its session (`enum pid_type` in
    /// include/linux/pid_types.h).
    #[inline(always)]
    pub const fn group(&self) -> u64 {
        self.pids + 2 * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_unpack_to_what_was_packed() {
        for text in [Text::Any, Text::Runpy, Text::Run] {
            for bits in 0..4 {
                let cookie = WatchCookie {
                    what: LOADED,
                    stop: bits & 1 != 0,
                    text,
                    followed: bits & 2 != 0,
                };
                assert_eq!(WatchCookie::unpack(cookie.pack()), cookie);
            }
        }
    }

    #[test]
    fn texts_are_told_by_their_first_bytes() {
        let first =
            |text: &[u8; 16]| [0, 8].map(|at| u64::from_le_bytes(core::array::from_fn(|i| text[at + i])));
        assert!(Text::Runpy.is(first(b"runpy\0garbage...")));
        assert!(!Text::Runpy.is(first(b"runpyx\0.........")));
        assert!(Text::Run.is(first(b"cpython.run_file")));
        assert!(!Text::Run.is(first(b"cpython.PyInterp")));
        assert!(Text::Any.is(first(&[0; 16])));
    }
}
