//! What being probed costs on this machine, found out by trying: in the tool itself, with programs that do nothing.

use std::{arch::naked_asm, io, os::fd::BorrowedFd, thread};

use nix::time::{ClockId, clock_gettime};

use super::links::{Point, Probe, multi};
use crate::process::Process;

/// What a probe costs whoever comes by, nanoseconds, the program's own time left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// At an entry whose instruction the kernel emulates.
    pub entry_ns: u64,
    /// At an entry whose instruction it has to run out of line.
    pub stepped_entry_ns: u64,
    /// At a return.
    pub return_ns: u64,
}

/// Rounds of calls, of which the one in the middle counts: another program may have had the processor, or its caches, in others.
const ROUNDS: usize = 9;
/// Calls in a round.
const CALLS: u64 = 128;

/// Begins as most functions do, with an instruction that the kernel emulates.
#[unsafe(naked)]
extern "C" fn emulated() {
    naked_asm!("push rbp", "pop rbp", "ret")
}

/// Begins with one that it does not.
#[unsafe(naked)]
extern "C" fn stepped() {
    naked_asm!("mov rax, rdi", "ret")
}

/// Programs that do nothing.
#[derive(Clone, Copy)]
pub(super) struct Empty<'a> {
    pub entry: BorrowedFd<'a>,
    /// For returns, or for both.
    pub returns: (BorrowedFd<'a>, Probe),
}

impl Prices {
    /// Takes some 20 ms.
    pub(super) fn measure(empty: Empty<'_>) -> io::Result<Self> {
        let own = Process::open(std::process::id()).map_err(io::Error::other)?;
        let point = |function: extern "C" fn()| {
            let (_, offset) = own
                .locate(function as *const () as u64)
                .ok_or_else(|| io::Error::other("the tool's own code is not found"))?;
            Ok::<_, io::Error>(Point { offset, cookie: 0 })
        };
        let (quick, slow) = (point(emulated)?, point(stepped)?);
        let put_in = |program, probe, point| {
            let exe = c"/proc/self/exe";
            multi(program, probe, exe, &[point], std::process::id())
        };
        let without = call_ns(emulated)?;
        let stepped_link = put_in(empty.entry, Probe::Entry, slow)?;
        let stepped_ns = call_ns(stepped)?;
        let entry = put_in(empty.entry, Probe::Entry, quick)?;
        let entry_ns = call_ns(emulated)?;
        let (program, probe) = empty.returns;
        let pair = put_in(program, probe, quick)?;
        let more_ns = call_ns(emulated)?;
        // Taking probes out waits for the kernel; nobody waits for this.
        thread::spawn(move || drop((stepped_link, entry, pair)));
        let entry_ns = entry_ns.saturating_sub(without);
        Ok(Self {
            entry_ns,
            stepped_entry_ns: stepped_ns.saturating_sub(without).max(entry_ns),
            // Of a session program, its second run of nothing at the entry too.
            return_ns: more_ns.saturating_sub(without + entry_ns),
        })
    }
}

/// What one call costs this thread, nanoseconds.
fn call_ns(function: extern "C" fn()) -> io::Result<u64> {
    let mut rounds = [0; ROUNDS];
    // The first calls find cold caches.
    function();
    for round in &mut rounds {
        let before = thread_ns()?;
        for _ in 0..CALLS {
            std::hint::black_box(function)();
        }
        *round = (thread_ns()? - before) / CALLS;
    }
    rounds.sort_unstable();
    Ok(rounds[ROUNDS / 2])
}

fn thread_ns() -> io::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}
