//! `pytrace-ebpf --pid`: attach, print, detach.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tracer_common::target::CaptureLimits;
use tracer_user::{
    attach::{Kernel, KernelOptions, Readiness},
    catalogue::select::{Functions, Selection},
    cpython::names::ProcessNames,
    decode::{pair::Pairing, record::Record},
    event::SiteMeta,
    process::pidfd,
    recording::{Recorder, item},
    sink::{TargetInfo, nothing::Nothing},
};

use crate::{
    cli::{OutputArgs, TraceArgs},
    logging,
    output::{CHUNK, Output, is_parquet, is_recording},
    report::{Reporter, epoch_ns, now_ns, print_summary, sink_for},
    ring::Ring,
    target::{Attached, Traced, Wanted, find_all},
};

/// How long records may wait while the ring buffer is busy. Idle, the kernel wakes the daemon.
const POLL: Duration = Duration::from_millis(5);
/// How often losses are looked for, and a recording's buffer is written.
const LOSS_CHECK: Duration = Duration::from_millis(250);

/// Bytes of a recording that are written without waiting.
const FLUSH: usize = 64 * 1024;

/// Why the end of a call was not seen.
pub const PROCESS_ENDED: &str = "process ended";
pub const TRACING_ENDED: &str = "tracing ended";

/// Traces until told to stop.
pub fn run(args: &TraceArgs) -> anyhow::Result<()> {
    if is_parquet(args.output.output.as_deref()) {
        return Err(crate::Usage::parquet().into());
    }
    let wanted = Wanted {
        effects: Selection::parse(&args.effects).map_err(crate::Usage::from)?,
        functions: Functions::parse(&args.functions).map_err(crate::Usage::from)?,
    };
    let traced = find_all(&args.pids, &wanted)?;
    for (function, why) in traced.iter().flat_map(|traced| &traced.refused) {
        log::warn!("{function} is not traced: {why}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(session(args, traced))
}

async fn session(args: &TraceArgs, traced: Vec<Traced>) -> anyhow::Result<()> {
    // Before anything is attached, so that no signal finds the tracer with its default action.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut exits = watch_exits(&args.pids)?;
    let output = Output::open(args.output.output.as_deref())?;
    let sites: u32 = traced.iter().map(|traced| traced.sites.len() as u32).sum();
    let mut kernel = Kernel::load(KernelOptions {
        ring_bytes: args.ring << 20,
        sites,
        log_level: if args.verbose == 0 { 0 } else { args.verbose + 1 },
        empty: args.empty,
    })?;
    logging::kernel(&mut kernel, args.verbose);
    let mut ring = Ring::new(kernel.take_events()?)?;
    let limits = limits(args);
    let before = Instant::now();
    let attached = attach_all(&traced, &mut kernel, limits)?;
    log::info!("{sites} sites attached in {:?}", before.elapsed());
    let mut session = Session::new(args, traced, kernel, output);
    session.start();
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut loss_check = tokio::time::interval(LOSS_CHECK);
    let mut pause = Pause::Draining;
    loop {
        if session.reporter.is_full() || session.output_closed() {
            break;
        }
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = until(deadline) => break,
            Some(target) = exits.recv() => {
                session.drain_all(&mut ring);
                if session.exited(target) {
                    break;
                }
            }
            _ = loss_check.tick() => {
                session.check_loss()?;
                session.flush_due = true;
            }
            sent = session.send(), if session.has_output() => sent,
            ready = pause.wait(&ring), if session.has_room() => {
                ready?;
                pause = session.drain(&mut ring)?;
            }
        }
    }
    let before = Instant::now();
    Attached::detach(attached);
    log::info!("{sites} sites detached in {:?}", before.elapsed());
    session.finish(&mut ring).await
}

fn limits(args: &TraceArgs) -> CaptureLimits {
    CaptureLimits {
        max_str: args.max_str,
        max_items: args.max_items,
        max_depth: args.max_depth,
        stack: args.stack,
    }
}

/// What of a recording is to be shown: what would have been, had it been printed at once.
pub fn filter(options: &OutputArgs) -> item::Filter {
    item::Filter {
        errors: options.errors,
        min_duration: options.min_duration,
        max_events: options.max_events,
        nested: options.nested,
    }
}

async fn until(deadline: Option<Instant>) {
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
            Self::Idle => ring.readable().await,
        }
    }
}

fn attach_all(
    traced: &[Traced],
    kernel: &mut Kernel,
    limits: CaptureLimits,
) -> anyhow::Result<Vec<Attached>> {
    let mut attached = Vec::new();
    let mut first_site = 0;
    for (index, one) in traced.iter().enumerate() {
        let index = u8::try_from(index).context("more than 256 processes at once")?;
        kernel.set_target(u32::from(index), one.kernel_target(limits))?;
        attached.push(one.attach(kernel, first_site, index)?);
        first_site += one.sites.len() as u32;
    }
    Ok(attached)
}

/// Sends the target index of every process that ends.
fn watch_exits(pids: &[u32]) -> anyhow::Result<mpsc::Receiver<u16>> {
    let (send, receive) = mpsc::channel(pids.len().max(1));
    for (index, pid) in pids.iter().enumerate() {
        let ended = Readiness::new(pidfd(*pid)?)?;
        let send = send.clone();
        tokio::spawn(async move {
            if ended.readable().await.is_ok() {
                let _ = send.send(index as u16).await;
            }
        });
    }
    Ok(receive)
}

/// A trace in progress.
struct Session {
    kernel: Kernel,
    pairing: Pairing,
    sites: Arc<[SiteMeta]>,
    reporter: Reporter<ProcessNames>,
    infos: Vec<TargetInfo>,
    output: Output,
    /// What stands at the start of a recording, if one is made.
    recording: Option<item::Header>,
    recorder: Recorder,
    /// Formatted or recorded, not yet given to the writer.
    buffer: Vec<u8>,
    /// A recording that has not grown large is written now and then, in blocks worth compressing.
    flush_due: bool,
    live: usize,
    /// Losses reported, and when that was.
    lost: (u64, u64),
}

impl Session {
    fn new(args: &TraceArgs, traced: Vec<Traced>, kernel: Kernel, output: Output) -> Self {
        let mut names = ProcessNames::new();
        let mut sites: Vec<SiteMeta> = Vec::new();
        let mut infos = Vec::new();
        for (index, one) in traced.into_iter().enumerate() {
            infos.push(TargetInfo {
                pid: one.process.pid(),
                python: one.interpreter.python_version_string().to_owned(),
                executable: one.interpreter.executable().display().to_string(),
                functions: one.sites.len(),
            });
            sites.extend(one.sites.into_iter().map(|site| site.meta));
            names.insert(index as u16, Arc::new(one.process), Arc::new(one.interpreter));
        }
        let pids = infos.iter().map(|info| info.pid).collect();
        let sites: Arc<[SiteMeta]> = sites.into();
        let epoch_ns = epoch_ns();
        let recording = is_recording(args.output.output.as_deref()).then(|| item::Header {
            tool: concat!("pytrace-ebpf ", env!("CARGO_PKG_VERSION")).to_owned(),
            epoch_ns,
            limits: limits(args).into(),
            filter: filter(&args.output),
        });
        let sink = match recording {
            // The events are counted, and printed by `replay`.
            Some(_) => Box::new(Nothing),
            None => sink_for(&args.output, epoch_ns),
        };
        Self {
            kernel,
            pairing: Pairing::new(args.output.nested),
            sites: Arc::clone(&sites),
            reporter: Reporter::new(sites, pids, names, &args.output, sink, epoch_ns),
            live: infos.len(),
            infos,
            output,
            recording,
            recorder: Recorder::default(),
            flush_due: false,
            buffer: Vec::with_capacity(CHUNK),
            lost: (0, now_ns()),
        }
    }

    fn start(&mut self) {
        for info in &self.infos {
            eprintln!(
                "pytrace-ebpf: attached to {} (Python {}): {} functions; Ctrl-C detaches",
                info.pid, info.python, info.functions
            );
        }
        self.reporter.header(&self.infos, &mut self.buffer);
        if let Some(header) = self.recording.clone() {
            Recorder::start(header, &self.infos, &self.sites, &mut self.buffer);
            self.flush_due = true;
        }
    }

    /// Takes a batch of records.
    fn drain(&mut self, ring: &mut Ring) -> anyhow::Result<Pause> {
        let mut taken = self.take(ring);
        if taken == 0 {
            self.kernel.wake_me()?;
            // What came between the look and the request would not wake us.
            taken = self.take(ring);
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

    fn take(&mut self, ring: &mut Ring) -> usize {
        let Self {
            pairing,
            reporter,
            buffer,
            sites,
            recording,
            recorder,
            ..
        } = self;
        ring.drain(|bytes| match Record::parse(bytes) {
            Ok(record) => {
                if recording.is_some() {
                    recorder.record(&record, reporter.names(), buffer);
                }
                pairing.feed(record, sites, &mut |call| reporter.call(&call, buffer));
            }
            Err(error) => log::error!("the kernel half sent what is no record: {error}"),
        })
    }

    /// Takes what is left, for good.
    fn drain_all(&mut self, ring: &mut Ring) {
        while self.take(ring) != 0 {}
    }

    /// Notes that a process ended; true when it was the last.
    fn exited(&mut self, target: u16) -> bool {
        self.unobserved(Some(target), PROCESS_ENDED);
        let now = now_ns();
        self.reporter.exited(target, now, &mut self.buffer);
        if self.recording.is_some() {
            Recorder::exit(target, now, &mut self.buffer);
        }
        self.live -= 1;
        self.live == 0
    }

    fn unobserved(&mut self, target: Option<u16>, why: &'static str) {
        let Self {
            pairing,
            reporter,
            buffer,
            ..
        } = self;
        pairing.finish(target, why, &mut |call| reporter.call(&call, buffer));
    }

    fn check_loss(&mut self) -> anyhow::Result<()> {
        let (known, since) = self.lost;
        let dropped = self.kernel.dropped()?;
        if dropped > known {
            self.reporter.lost(dropped - known, since, &mut self.buffer);
            if self.recording.is_some() {
                Recorder::loss(dropped - known, since, &mut self.buffer);
            }
        }
        self.lost = (dropped, now_ns());
        Ok(())
    }

    fn has_output(&self) -> bool {
        let waits = self.recording.is_some() && !self.flush_due && self.buffer.len() < FLUSH;
        !self.buffer.is_empty() && !waits
    }

    fn has_room(&self) -> bool {
        self.buffer.len() < CHUNK
    }

    /// The reader of the output went away.
    fn output_closed(&self) -> bool {
        self.output.queue().is_closed()
    }

    /// Hands the buffer to the writer, when it has room.
    async fn send(&mut self) {
        if let Ok(place) = self.output.queue().reserve().await {
            place.send(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)));
            self.flush_due = false;
        }
    }

    /// After detaching: the rest of the records, the summary, the last bytes out.
    async fn finish(mut self, ring: &mut Ring) -> anyhow::Result<()> {
        self.drain_all(ring);
        // In the order in which a recording has them.
        self.check_loss()?;
        self.unobserved(None, TRACING_ENDED);
        let sites = self.sites.len() as u32;
        let counters = (0..sites)
            .map(|site| self.kernel.counters(site))
            .collect::<Result<Vec<_>, _>>()?;
        let inner = self.pairing.counts().inner;
        let summary = self.reporter.summary(&counters, inner, None, &mut self.buffer);
        if self.recording.is_some() {
            Recorder::end(&counters, &mut self.buffer);
        }
        self.flush_due = true;
        if self.has_output() {
            let mut again = signal(SignalKind::interrupt())?;
            tokio::select! {
                () = self.send() => {}
                _ = again.recv() => std::process::exit(crate::INTERRUPTED),
            }
        }
        print_summary(&summary);
        // Whoever asks a second time does not want to wait for the reader of the output.
        let mut again = signal(SignalKind::interrupt())?;
        let written = tokio::task::spawn_blocking(move || self.output.finish());
        let result = tokio::select! {
            written = written => written?,
            _ = again.recv() => std::process::exit(crate::INTERRUPTED),
        };
        result.context("cannot write the output")
    }
}
