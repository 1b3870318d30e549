//! `pytrace-ebpf --pid` and `pytrace-ebpf run`: attach, print, detach.

mod serving;

use std::{ffi::OsString, path::Path, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tracer_common::{
    limits::{MAX_SITES, USUAL_SITES},
    watch,
};
use tracer_user::{
    attach::{KernelOptions, Nested, Readiness, has_multi},
    catalogue::select::{Functions, Selection},
    event::judge::Judge,
    process::{Stage, pidfd},
    sink::Sink,
};

use crate::{
    advice,
    agent::orders::{Said, push_said},
    cli::{Format, TraceArgs},
    command::Launched,
    filters::{check_threads, judge, no_thread, thread_ids},
    logging,
    output::{Opened, Output},
    privileges,
    profile::Plan,
    ring::Ring,
    session::Session,
    sweep::Sweep,
    target::{Traced, Wanted, find_all},
    watching::{self, Watching},
};

/// How long records may wait while the ring buffer is busy. Idle, the kernel wakes the daemon.
const POLL: Duration = Duration::from_millis(5);
/// How long samples may wait, of which there are few: so they cost a busy machine no wake-up each.
const REST: Duration = Duration::from_millis(100);
/// How often losses are looked for, and a recording's buffer is written.
const LOSS_CHECK: Duration = Duration::from_millis(250);

/// Ends of processes that may wait to be noticed.
const EXITS: usize = 1024;

fn wanted(args: &TraceArgs) -> anyhow::Result<Wanted> {
    if args.output.format() == Format::Parquet {
        return Err(crate::Usage::live_parquet().into());
    }
    Ok(Wanted {
        effects: Selection::parse(&args.effects).map_err(crate::Usage::from)?,
        functions: Functions::parse(&args.functions).map_err(crate::Usage::from)?,
        runs: !args.calls.is_empty(),
        given: String::new(),
    })
}

pub use serving::serve;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Traces running processes until told to stop. `profile`: not events, but a profile is made of it.
pub fn run(args: &TraceArgs, profile: Option<Plan>) -> anyhow::Result<()> {
    let wanted = wanted(args)?;
    let judge = judge(&args.output.shown.filters, args.stack)?;
    privileges::reduce_before_output()?;
    privileges::confine(Stage::Begins);
    let traced = find_all(&args.pids, &wanted)?;
    check_threads(&args.output.shown.filters, &traced)?;
    runtime()?.block_on(async {
        // Before anything is attached, so that no signal finds the tracer with its default action.
        let mut stop = Stop::Signals(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let output = Opened::new(args.output.output.as_deref(), false)?;
        privileges::reduce()?;
        let output = output.start()?;
        let mut trace = Trace::new(args, wanted, judge, output, false, profile, None)?;
        privileges::confine(Stage::Traces);
        trace.attach(traced)?;
        trace.until_stopped(&mut stop).await?;
        trace.finish().await
    })
}

/// Starts a program and traces it until it ends; its exit code.
pub fn run_command(args: &TraceArgs, command: &[OsString], profile: Option<Plan>) -> anyhow::Result<u8> {
    let wanted = wanted(args)?;
    let judge = judge(&args.output.shown.filters, args.stack)?;
    if let Some(tid) = thread_ids(&args.output.shown.filters).next() {
        return Err(no_thread(tid, "nothing runs yet; give a glob of its name").into());
    }
    runtime()?.block_on(async {
        let launched = Launched::start(command)?;
        let output = Opened::new(args.output.output.as_deref(), true)?;
        privileges::reduce()?;
        // The program is to be as free as it would be: it was started before.
        privileges::confine(Stage::Begins);
        let output = output.start()?;
        let mut trace = Trace::new(args, wanted, judge, output, true, profile, None)?;
        privileges::confine(Stage::Traces);
        trace.watching.follow(launched.pid())?;
        let mut stop = Stop::Program(launched);
        if let Stop::Program(launched) = &mut stop {
            launched.begin()?;
        }
        trace.until_stopped(&mut stop).await?;
        if !trace.session.has_started() {
            log::warn!("no Python began that could be traced; with --follow, children are traced too");
        }
        trace.finish().await?;
        match stop {
            Stop::Program(mut launched) => {
                launched.wait().await?;
                launched.exit_code()
            }
            Stop::Signals(..) => Ok(0),
        }
    })
}

/// What ends a trace.
enum Stop {
    /// Ctrl-C, SIGTERM.
    Signals(Signal, Signal),
    /// The end of the program. Signals are for the program.
    Program(Launched),
}

impl Stop {
    async fn asked(&mut self) -> std::io::Result<()> {
        match self {
            Self::Signals(interrupt, terminate) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                Ok(())
            }
            Self::Program(launched) => launched.wait().await,
        }
    }
}

/// Everything a trace needs.
struct Trace<'a> {
    args: &'a TraceArgs,
    session: Session,
    watching: Watching,
    sweep: Sweep,
    ring: Ring,
    /// Processes that ended.
    exits: mpsc::Receiver<u32>,
    exited: mpsc::Sender<u32>,
    /// The agent says what to trace.
    serving: Option<serving::Serving>,
}

impl<'a> Trace<'a> {
    /// `starts`: the tool itself starts the program. `feed`: where events go, if the agent says what to trace.
    fn new(
        args: &'a TraceArgs,
        wanted: Wanted,
        judge: Judge,
        output: Output,
        starts: bool,
        profile: Option<Plan>,
        feed: Option<Box<dyn Sink>>,
    ) -> anyhow::Result<Self> {
        if args.budget.is_some() && !has_multi() {
            anyhow::bail!(
                "--budget needs Linux 6.6 (uprobe_multi links): probes do not come and go fast enough here; trace less with -e"
            );
        }
        let mut kernel = advice::load(KernelOptions {
            filters: judge.filters(),
            ring_bytes: args.ring,
            sites: if feed.is_some() { MAX_SITES } else { USUAL_SITES },
            log_level: if args.verbose == 0 { 0 } else { args.verbose + 1 },
            runs: !args.calls.is_empty(),
            sums: args.sums(),
            budget: args.budget.is_some(),
            rate: args.sample.map(|rate| (rate, Nested(args.output.shown.nested))),
            empty: args.empty,
        })?;
        logging::kernel(&mut kernel, args.verbose);
        let ring = Ring::new(kernel.take_events()?)?;
        let watching = Watching::new(
            &mut kernel,
            watching::What {
                hold: starts,
                follow: args.follow,
                probes: !wanted.is_nothing(),
                all: feed.is_some(),
            },
        )?;
        let (exited, exits) = mpsc::channel(EXITS);
        Ok(Self {
            args,
            session: Session::new(args, wanted, judge, kernel, output, starts, profile, feed)?,
            watching,
            sweep: Sweep::default(),
            ring,
            exits,
            exited,
            serving: None,
        })
    }

    fn attach(&mut self, traced: Vec<Traced>) -> anyhow::Result<()> {
        let before = Instant::now();
        let mut infos = Vec::new();
        for one in traced {
            let pid = one.process.pid();
            // Before its children could escape.
            self.watching.follow(pid)?;
            infos.push(self.session.admit(one)?);
            self.watching.trace(&mut self.session, pid)?;
            self.session.warn_refused(pid);
            self.watch_exit(pid);
        }
        log::info!("attached in {:?}", before.elapsed());
        if !has_multi() {
            log::warn!(
                "this kernel has no uprobe_multi links (Linux 6.6): detaching takes up to a quarter of a second for each function"
            );
        }
        for info in &infos {
            let what = self.session.what(info);
            crate::logging::say!("attached to {} (Python {}): {what}", info.pid, info.python);
        }
        self.session.start(&infos);
        Ok(())
    }

    /// Tells when a process ends.
    fn watch_exit(&self, pid: u32) {
        let send = self.exited.clone();
        let ended = pidfd(pid).and_then(Readiness::new);
        tokio::spawn(async move {
            // One that cannot be watched has ended already.
            let over = match ended {
                Ok(ended) => ended.readable().await.is_ok(),
                Err(_) => true,
            };
            if over {
                let _ = send.send(pid).await;
            }
        });
    }

    async fn until_stopped(&mut self, stop: &mut Stop) -> anyhow::Result<()> {
        let deadline = self.args.duration.map(|duration| Instant::now() + duration);
        let mut loss_check = tokio::time::interval(LOSS_CHECK);
        let interval = self.args.output.stat.as_ref().and_then(|stat| stat.interval);
        let mut next_sums = interval.map(|interval| Instant::now() + interval);
        let mut pause = Pause::Draining;
        let mut program_ended = false;
        loop {
            if self.session.reporter.is_full() || self.session.output_closed() {
                return Ok(());
            }
            tokio::select! {
                biased;
                happened = self.watching.readable() => {
                    happened?;
                    self.happened();
                    if self.has_none() && matches!(stop, Stop::Signals(..)) {
                        return Ok(());
                    }
                }
                stopped = stop.asked(), if !program_ended => {
                    stopped?;
                    self.happened();
                    let Stop::Program(launched) = &*stop else { return Ok(()) };
                    program_ended = true;
                    self.exited(launched.pid());
                    if !self.args.follow || self.all_ended() {
                        return Ok(());
                    }
                }
                () = until(deadline) => return Ok(()),
                () = until(self.session.next_account()) => {
                    self.session.keep_budget()?;
                    self.session.end_closed(&mut self.ring);
                }
                Some(pid) = self.exits.recv() => {
                    self.exited(pid);
                    if self.has_none() && matches!(stop, Stop::Signals(..)) {
                        return Ok(());
                    }
                }
                // A reader that is slow gets the next table later, not all of them at once.
                () = until(next_sums), if self.session.has_room() => {
                    next_sums = next_sums.zip(interval).map(|(last, interval)| last + interval);
                    self.session.drain_all(&mut self.ring);
                    self.session.add_up(false)?;
                }
                _ = loss_check.tick() => {
                    self.session.check_loss()?;
                    let fewer = self.session.look_for_others();
                    if fewer && self.has_none() && matches!(stop, Stop::Signals(..)) {
                        return Ok(());
                    }
                    self.session.look_for_belongings()?;
                    if self.args.follow && self.all_ended() && self.session.live() == 0 {
                        return Ok(());
                    }
                }
                event = serving::next(&mut self.serving), if self.session.has_room() => {
                    if !self.serve(event)? {
                        return Ok(());
                    }
                }
                () = self.sweep.is_due() => {
                    let parents = self.sweep.take();
                    if !parents.is_empty() {
                        let places = self.session.places(&parents)?;
                        self.sweep.start(places);
                    }
                }
                sent = self.session.send(), if self.session.has_output() => sent,
                ready = pause.wait(&self.ring), if self.session.has_room() => {
                    ready?;
                    pause = self.drain()?;
                }
            }
        }
    }

    /// Nothing is traced any more, and nothing will be.
    fn has_none(&self) -> bool {
        self.session.live() == 0 && !self.args.follow && self.serving.is_none()
    }

    /// Sees to everything that happened to processes.
    fn happened(&mut self) {
        while let Some(what) = self.watching.take() {
            if what.what == watch::COPIED {
                self.sweep.copied(what.pid, what.parent);
                if self.serving.is_some() {
                    let forked = Said::Forked { pid: what.pid };
                    self.session.write(|out| push_said(&forked, out));
                }
                continue;
            }
            self.session.drain_all(&mut self.ring);
            if self.watching.happened(&mut self.session, what) {
                self.watch_exit(what.pid);
            }
        }
    }

    /// Whether all followed processes have ended; then that is noted of each, however short ago it was.
    fn all_ended(&mut self) -> bool {
        if self.watching.forget_ended() {
            return false;
        }
        for pid in self.session.pids() {
            if !Path::new(&format!("/proc/{pid}")).exists() {
                self.exited(pid);
            }
        }
        true
    }

    fn exited(&mut self, pid: u32) {
        self.session.drain_all(&mut self.ring);
        self.session.ended(pid, false);
        self.watching.ended(pid);
    }

    /// Takes a batch of records.
    fn drain(&mut self) -> anyhow::Result<Pause> {
        let mut taken = self.session.take(&mut self.ring);
        if self.session.wanted().is_nothing() && taken < crate::ring::BATCH {
            return Ok(Pause::Resting);
        }
        if taken == 0 {
            self.session.kernel.wake_me()?;
            // What came between the look and the request would not wake us.
            taken = self.session.take(&mut self.ring);
            if taken == 0 {
                return Ok(Pause::Idle);
            }
        }
        Ok(if taken >= crate::ring::BATCH {
            Pause::Draining
        } else {
            Pause::Busy
        })
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        let before = Instant::now();
        self.session.detach();
        // Nothing stops any more; whoever waits is let go.
        self.happened();
        drop(self.watching);
        log::info!("detached in {:?}", before.elapsed());
        self.session.finish(&mut self.ring).await
    }
}

/// Waits until that moment; without one, for ever.
pub async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// What to wait for before the ring buffer is looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// Nothing: there is more.
    Draining,
    /// A little: more is likely to come, and taking it in one go costs the target no wake-up.
    Busy,
    /// More: there are samples only.
    Resting,
    /// The kernel: it was asked to wake the daemon.
    Idle,
}

impl Pause {
    async fn wait(self, ring: &Ring) -> std::io::Result<()> {
        match self {
            Self::Draining => {
                tokio::task::yield_now().await;
                Ok(())
            }
            Self::Busy => {
                sleep(POLL).await;
                Ok(())
            }
            Self::Resting => {
                sleep(REST).await;
                Ok(())
            }
            Self::Idle => ring.readable().await,
        }
    }
}
