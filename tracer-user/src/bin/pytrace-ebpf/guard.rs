//! The guard: a process of its own that outlives the tracer by a moment. A probe may have stopped a
//! process just when the tracer was killed; then nobody else would let it go on.
//!
//! The end of `run` can also leave its process group orphaned (no member has a parent in another group of the session),
//! as under a shell with job control. The kernel ends such a group by SIGHUP if one of it is stopped (`kill_orphaned_pgrp`
//! in kernel/exit.c). So the guard, which has a group of its own, keeps a child in that group: the member.

use std::{
    io::{Read, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{SigSet, Signal, kill},
    unistd::{Pid, getpgid, getppid},
};
use tracer_user::{
    attach::{Held, Readiness, Watch},
    process::{Process, Stage, pidfd},
};

use crate::privileges;

/// A process that was changing the tracer's links goes on to its end, and closes them a few grace periods later; until
/// then, and a signal's way longer, processes may be stopped: looked for so many times,
const LOOKS: u32 = 100;
/// so far apart.
const APART: Duration = Duration::from_millis(20);

/// The guard, from the tracer's side. Ended when dropped.
pub struct Guard(Child);

impl Guard {
    /// Starts it. Its standard input is the map of processes that may be stopped.
    pub fn start(watch: &Watch) -> anyhow::Result<Self> {
        let mut child = Command::new("/proc/self/exe")
            .args(["guard", &std::process::id().to_string()])
            .stdin(Stdio::from(watch.held_fd()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What the terminal sends to the tracer is not meant for it.
            .process_group(0)
            .spawn()
            .context("cannot start the guard of stopped processes")?;
        let ready = child.stdout.take().context("the guard has no output")?;
        let guard = Self(child);
        wait_for(ready).context("the guard of stopped processes has ended")?;
        Ok(guard)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a byte.
fn wait_for(mut from: impl Read) -> std::io::Result<()> {
    from.read_exact(&mut [0])
}

/// The member of the tracer's process group, from the guard's side. It ends when this is dropped.
struct Member(Child);

impl Member {
    fn start(tracer: u32) -> anyhow::Result<Self> {
        let group = getpgid(Some(Pid::from_raw(tracer as i32)))?;
        let child = Command::new("/proc/self/exe")
            .arg("member")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(group.as_raw())
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What the member does: nothing, until the guard ends. What the terminal sends to its group is not meant for it.
pub fn member() -> anyhow::Result<()> {
    SigSet::all().thread_block()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What the guard does: waits for the tracer's end. The kernel closes the tracer's links, and so takes
/// out its probes, before it says that the tracer ended, or soon after.
pub fn run(tracer: u32) -> anyhow::Result<()> {
    let held = Held::from_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    let ended = pidfd(tracer);
    // In another session there is no such group to keep from being orphaned.
    let member = Member::start(tracer);
    privileges::confine(Stage::Traces);
    std::io::stdout().write_all(b"!")?;
    std::io::stdout().flush()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // If it ended before it could be watched, there is another parent by now.
    if let Ok(ended) = ended
        && getppid() == Pid::from_raw(tracer as i32)
    {
        runtime.block_on(async { Readiness::new(ended)?.readable().await })?;
    }
    for _ in 0..LOOKS {
        for pid in held.pids() {
            if Process::open(pid).is_ok_and(|process| process.is_stopped()) {
                let _ = kill(Pid::from_raw(pid as i32), Signal::SIGCONT);
            }
        }
        std::thread::sleep(APART);
    }
    drop(member);
    Ok(())
}
