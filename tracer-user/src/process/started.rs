//! What this program was started with and Rust's runtime changes before `main`: it opens `/dev/null` where standard
//! input, output or error were closed, and ignores SIGPIPE. `std::process` then starts every other program with those
//! files, with SIGPIPE as it is by default, and, by way of `posix_spawn`, with glibc's own two signals ignored. And what
//! the tool itself must change: with SIGCHLD ignored, the kernel forgets how a child ended. A program that the tool starts
//! must begin as it would have without the tool.

use std::{
    io,
    num::ParseIntError,
    os::unix::process::CommandExt as _,
    process::Command,
    str::FromStr,
    sync::atomic::{AtomicU8, Ordering},
};

/// Standard input, output and error.
const STANDARD: std::ops::Range<i32> = 0..3;
/// Signals that may have been ignored, and their bits in [`StartedWith`], above those of the closed files.
const IGNORED: [(i32, u8); 2] = [(libc::SIGPIPE, 1 << 3), (libc::SIGCHLD, 1 << 4)];

static STARTED_WITH: AtomicU8 = AtomicU8::new(0);

/// Run by the C library before Rust's runtime begins.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let mut found = 0;
    for fd in STANDARD {
        // SAFETY: asks for the flags of a descriptor; the kernel refuses one that is not open.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            found |= 1 << fd;
        }
    }
    for (signal, bit) in IGNORED {
        // SAFETY: all of it may be zero.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: changes nothing, and writes what is there into `action`.
        let known = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } == 0;
        if known && action.sa_sigaction == libc::SIG_IGN {
            found |= bit;
        }
    }
    STARTED_WITH.store(found, Ordering::Relaxed);
}

/// Which of the standard files were closed, and which signals ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartedWith(u8);

impl StartedWith {
    /// What this program was started with.
    pub fn this_program() -> Self {
        Self(STARTED_WITH.load(Ordering::Relaxed))
    }

    /// The same for the program that this process becomes by `exec`.
    pub fn pass_on(self, command: &mut Command) -> &mut Command {
        let restore = move || {
            for fd in STANDARD.filter(|fd| self.0 & (1 << fd) != 0) {
                // SAFETY: nothing runs in this process any more that could use it.
                unsafe { libc::close(fd) };
            }
            for (signal, _) in IGNORED.iter().filter(|(_, bit)| self.0 & bit != 0) {
                // SAFETY: no handler of ours is involved.
                unsafe { libc::signal(*signal, libc::SIG_IGN) };
            }
            Ok(())
        };
        // SAFETY: only makes system calls.
        unsafe { command.pre_exec(restore) }
    }
}

impl FromStr for StartedWith {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for StartedWith {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// From now on children can be waited for, whatever this program was started with.
pub fn wait_for_children() {
    // SAFETY: no handler of ours is involved.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Makes `spawn` fork: what `posix_spawn` of glibc starts has signals 32 and 33 ignored, whatever they were before.
pub fn by_fork(command: &mut Command) -> &mut Command {
    // SAFETY: does nothing; that there is something to do before `exec` is enough.
    unsafe { command.pre_exec(|| io::Result::Ok(())) }
}
