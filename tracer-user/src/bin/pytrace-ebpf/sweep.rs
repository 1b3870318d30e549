//! Breakpoints in copies of a traced process.
//!
//! A child that is forked has a copy of its parent's memory, and so the breakpoints. The child is not traced and they do nothing,
//! but each costs a trap, and the kernel replaces return addresses there as in the parent, which kills a child that switches C stacks
//! (see [`crate::harm`]). The kernel takes breakpoints out of processes in which nobody wants them whenever anybody's probe at the
//! same instruction goes (`register_for_each_vma` in kernel/events/uprobes.c, 6.18). So one is put in for this tool's own process, in
//! which those files are not mapped, and taken out again.

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep_until};
use tracer_user::{
    attach::{Link, Point, Probe},
    process::Process,
};

/// A child that is to run another program does so by then.
const UNTIL_EXEC: Duration = Duration::from_millis(20);
/// Of the time, what goes by between sweeps at least, as a multiple of how long one takes.
const REST: u32 = 4;

/// Where breakpoints of one process are, and any program: it never runs.
pub struct Places {
    pub program: OwnedFd,
    pub files: Vec<(PathBuf, Vec<Point>)>,
}

/// Copies that were made, and the sweep that is under way.
#[derive(Default)]
pub struct Sweep {
    /// Child and parent.
    copies: Vec<(u32, u32)>,
    next: Option<Instant>,
    running: Option<JoinHandle<Duration>>,
}

impl Sweep {
    /// A process was forked from a traced one.
    pub fn copied(&mut self, child: u32, parent: u32) {
        self.copies.push((child, parent));
        self.next.get_or_insert(Instant::now() + UNTIL_EXEC);
    }

    /// Waits until there is something to do.
    pub async fn is_due(&mut self) {
        if let Some(running) = &mut self.running {
            let took = running.await.unwrap_or_default();
            self.running = None;
            let rested = Instant::now() + took * REST;
            self.next = self.next.map(|next| next.max(rested));
        }
        match self.next {
            Some(next) => sleep_until(next.into()).await,
            None => std::future::pending().await,
        }
    }

    /// The parents of those copies that are still copies.
    pub fn take(&mut self) -> Vec<u32> {
        self.next = None;
        let copies = std::mem::take(&mut self.copies).into_iter();
        let mut parents: Vec<u32> = copies
            .filter(|(child, _)| Process::is_forked_copy(*child))
            .map(|(_, parent)| parent)
            .collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    /// Takes the breakpoints of those processes out of all copies of them. Nobody waits for it: it takes as long as detaching.
    pub fn start(&mut self, places: Vec<Places>) {
        self.running = Some(tokio::task::spawn_blocking(move || {
            let before = Instant::now();
            for Places { program, files } in places {
                for (path, points) in files {
                    use std::os::fd::AsFd as _;
                    let link =
                        Link::attach(program.as_fd(), Probe::Entry, &path, &points, std::process::id());
                    if let Err(error) = link {
                        log::info!("breakpoints stay in forked processes until tracing ends: {error}");
                    }
                }
            }
            before.elapsed()
        }));
    }
}
