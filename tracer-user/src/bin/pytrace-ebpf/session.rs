//! A trace in progress: the processes traced now, and what becomes of their records. Processes and sites come and
//! go while it runs.

mod adding;
mod belongings;
mod switches;

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    io::IsTerminal as _,
    sync::Arc,
    thread,
};

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tracer_common::{
    limits::{MAX_SITES, MAX_TARGETS},
    target::{CaptureLimits, Target},
    wire::{KIND_CODE, KIND_PATH, KIND_PLACE, KIND_SAMPLE},
};
use tracer_user::{
    attach::{Kernel, Link, Sampler, Verdicts},
    cpython::names::ProcessNames,
    decode::{pair::Pairing, record::Record},
    event::{SiteMeta, judge::Judge, runs::RunJudge},
    process::Process,
    profile::sink::{Profiler, Shared},
    recording::{Recorder, item},
    sink::{ProcessChange, Sink, TargetInfo, nothing::Nothing},
};

use self::{adding::Adding, belongings::Belongings};
use crate::{
    cli::{OutputArgs, TraceArgs},
    harm,
    output::{CHUNK, Output, is_recording},
    probes::Attached,
    profile::{self, Plan},
    report::{Reporter, epoch_ns, now_ns, print_summary, sink_for},
    ring::Ring,
    sweep,
    target::{Place, Traced, Wanted},
};

/// Why the end of a call was not seen.
pub const PROCESS_ENDED: &str = "process ended";
pub const PROGRAM_REPLACED: &str = "the process runs another program";
pub const TRACING_ENDED: &str = "tracing ended";

/// Bytes of a recording that are written without waiting.
const FLUSH: usize = 64 * 1024;

/// Batches taken at once at most: more than the largest usual ring buffer holds.
const MAX_BATCHES: u32 = 256;

/// A process traced now.
struct Live {
    index: u16,
    process: Arc<Process>,
    /// What was found at first, and what came later.
    parts: Vec<Arc<Traced>>,
    attached: Vec<Attached>,
    /// Probes that watch, see [`crate::watching`]; and those that tell of modules.
    watch: Vec<Link>,
    loads: Vec<Link>,
    known: HashSet<Place>,
    /// What the kernel half knows of it.
    target: Target,
    belongings: Belongings,
    /// It switches C stacks (greenlet): [`harm::Policy`].
    switches: bool,
}

/// What a rescan found.
pub struct Found {
    pub files: Vec<String>,
    pub functions: usize,
}

/// A trace in progress.
pub struct Session {
    pub kernel: Kernel,
    wanted: Wanted,
    limits: CaptureLimits,
    judge: Judge,
    run_judge: RunJudge,
    verdicts: Verdicts,
    pairing: Pairing,
    sites: Arc<[SiteMeta]>,
    pub reporter: Reporter<ProcessNames>,
    live: HashMap<u32, Live>,
    /// Target indices that were used and are free again.
    free: Vec<u16>,
    next_index: u16,
    output: Output,
    /// A recording is made, not text.
    recorder: Option<Recorder>,
    /// Calls are added up in the kernel, and no record of them comes.
    adding: Option<Adding>,
    /// Formatted or recorded, not yet given to the writer.
    buffer: Vec<u8>,
    /// A recording that has not grown large is written now and then, in blocks worth compressing.
    flush_due: bool,
    started: bool,
    to_stderr: bool,
    /// Losses reported, and when that was.
    lost: (u64, u64),
    /// Not events, but a profile is made of it.
    profile: Option<Plan>,
    sampler: Option<Sampler>,
}

impl Session {
    /// `to_stderr`: events may go there too, so that the summary has to come after them.
    pub fn new(
        args: &TraceArgs,
        wanted: Wanted,
        judge: Judge,
        mut kernel: Kernel,
        output: Output,
        to_stderr: bool,
        profile: Option<Plan>,
    ) -> anyhow::Result<Self> {
        let limits = CaptureLimits {
            max_str: args.max_str,
            max_items: args.max_items,
            max_depth: args.max_depth,
            stack: args.stack,
        };
        let epoch_ns = epoch_ns();
        let mut buffer = Vec::with_capacity(CHUNK);
        let recorder = is_recording(args.output.output.as_deref()).then(|| {
            let header = item::Header {
                tool: concat!("pytrace-ebpf ", env!("CARGO_PKG_VERSION")).to_owned(),
                epoch_ns,
                limits: limits.into(),
                filter: filter(&args.output),
            };
            Recorder::header(header, &mut buffer);
            Recorder::default()
        });
        let sink: Box<dyn Sink> = match (&recorder, &profile) {
            // The events are counted, and printed by `replay`.
            (Some(_), _) => Box::new(Nothing),
            (None, Some(plan)) => {
                let shared = Shared::clone(&plan.shared);
                Box::new(Profiler::new(shared, plan.format, TRACING_ENDED, epoch_ns))
            }
            (None, None) => sink_for(&args.output, epoch_ns, to_stderr),
        };
        let sampler = match &profile {
            Some(plan) => plan.sampler(&mut kernel)?,
            None => None,
        };
        let verdicts = Verdicts::new(&mut kernel)?;
        let adding = args.sums().map(|_| Adding::new(&mut kernel)).transpose()?;
        Ok(Self {
            kernel,
            wanted,
            limits,
            judge,
            run_judge: RunJudge::new(&args.calls).map_err(crate::Usage::from)?,
            verdicts,
            pairing: Pairing::new(args.output.nested),
            sites: Arc::new([]),
            reporter: Reporter::new(ProcessNames::new(), &args.output, sink, epoch_ns)?,
            live: HashMap::new(),
            free: Vec::new(),
            next_index: 0,
            output,
            recorder,
            adding,
            buffer,
            flush_due: true,
            started: false,
            to_stderr,
            lost: (0, now_ns()),
            profile,
            sampler,
        })
    }

    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// What is seen of a process, and how that ends.
    pub fn what(&self, info: &TargetInfo) -> String {
        let functions = format!("{} functions", info.functions);
        match &self.profile {
            Some(plan) => plan.what(&functions),
            None => format!("{functions}; Ctrl-C detaches"),
        }
    }

    /// Writes the header, once.
    pub fn start(&mut self, infos: &[TargetInfo]) {
        if !self.started {
            self.started = true;
            self.reporter.header(infos, &mut self.buffer);
            if self.recorder.is_some() {
                Recorder::start(&mut self.buffer);
                self.flush_due = true;
            }
        }
    }

    pub fn has_started(&self) -> bool {
        self.started
    }

    pub fn is_traced(&self, pid: u32) -> bool {
        self.live.contains_key(&pid)
    }

    /// Processes that are traced now.
    pub fn pids(&self) -> Vec<u32> {
        self.live.keys().copied().collect()
    }

    /// Where the breakpoints of those processes are.
    pub fn places(&self, pids: &[u32]) -> anyhow::Result<Vec<sweep::Places>> {
        let live = pids.iter().filter_map(|pid| self.live.get(pid));
        live.map(|live| {
            let parts = live.parts.iter();
            Ok(sweep::Places {
                program: self.kernel.watch().try_clone_to_owned()?,
                files: parts.flat_map(|part| part.all_points(&live.process)).collect(),
            })
        })
        .collect()
    }

    /// How many processes are traced now.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Takes a process in, of which nothing is seen before [`Self::attach`].
    pub fn admit(&mut self, mut traced: Traced) -> anyhow::Result<TargetInfo> {
        self.number(&mut traced)?;
        let info = info(&traced, traced.process.pid());
        let switches = harm::Policy::of(&traced.process)?.switches_stacks();
        let process = Arc::clone(&traced.process);
        self.enter(process, vec![Arc::new(traced)], switches, info.clone(), None)?;
        Ok(info)
    }

    /// Takes in a process that was just forked from a traced one, to trace it in the same way; false where the parent
    /// is not traced.
    pub fn admit_fork(&mut self, parent: u32, pid: u32) -> anyhow::Result<bool> {
        let Some(live) = self.live.get(&parent) else {
            return Ok(false);
        };
        let (parts, switches, parent) = (live.parts.clone(), live.switches, live.index);
        let info = info(parts.first().context("nothing was found")?, pid);
        self.enter(Arc::new(Process::open(pid)?), parts, switches, info, Some(parent))?;
        Ok(true)
    }

    fn enter(
        &mut self,
        process: Arc<Process>,
        parts: Vec<Arc<Traced>>,
        switches: bool,
        info: TargetInfo,
        parent: Option<u16>,
    ) -> anyhow::Result<()> {
        let index = self.free_index()?;
        let first = parts.first().context("nothing was found")?;
        let mut target = first.interpreter.target(&process, self.limits);
        let mut belongings = Belongings::default();
        belongings.look(&process, &first.interpreter, &mut target);
        self.kernel.set_target(u32::from(index), target)?;
        if switches {
            self.kernel.spare(u32::from(index))?;
        }
        if let Some(sampler) = &mut self.sampler {
            profile::add(sampler, &process, index)?;
        }
        let interpreter = Arc::clone(&first.interpreter);
        self.reporter.set_pid(index, info.pid);
        let names = self.reporter.names();
        match parent {
            Some(parent) => names.insert_fork(index, parent, Arc::clone(&process), interpreter),
            None => names.insert(index, Arc::clone(&process), interpreter),
        }
        for part in &parts {
            names.know_types(index, &part.discovery.types);
            if let Some(adding) = &mut self.adding {
                adding.know_types(index, &part.discovery.types);
            }
        }
        if self.recorder.is_some() {
            Recorder::target(index, info, switches, &mut self.buffer);
        }
        self.pairing.switches(index, switches);
        let live = Live {
            index,
            known: parts.iter().flat_map(|part| part.places()).collect(),
            process,
            parts,
            attached: Vec::new(),
            watch: Vec::new(),
            loads: Vec::new(),
            target,
            belongings,
            switches,
        };
        self.live.insert(live.process.pid(), live);
        Ok(())
    }

    /// Puts the probes of an admitted process in; where that fails it is no longer traced.
    pub fn attach(&mut self, pid: u32) -> anyhow::Result<()> {
        let attached = self.put_in(pid);
        if attached.is_err() {
            if let Some(live) = self.live.remove(&pid) {
                self.free.push(live.index);
            }
            // One that has ended meanwhile is no more than that.
            Process::open(pid)?;
        }
        attached
    }

    /// Says which functions of a process were wanted but cannot be traced.
    pub fn warn_refused(&self, pid: u32) {
        let parts = self.live.get(&pid).into_iter().flat_map(|live| &live.parts);
        for part in parts {
            for (function, why) in &part.refused {
                log::warn!("{function} is not traced: {why}");
            }
            if let Some(unseen) = part.unseen {
                log::warn!("partly unseen: {unseen}");
            }
        }
    }

    fn put_in(&mut self, pid: u32) -> anyhow::Result<()> {
        // It may have come since the process was looked at.
        self.look_for_switches(pid)?;
        let Some(live) = self.live.get_mut(&pid) else {
            return Ok(());
        };
        for part in &live.parts {
            let attached = part.attach(&self.kernel, &live.process, live.index as u8, live.switches)?;
            live.attached.push(attached);
        }
        Ok(())
    }

    /// Keeps a probe that watches as long as the process is traced.
    pub fn keep(&mut self, pid: u32, link: Link) {
        if let Some(live) = self.live.get_mut(&pid) {
            live.watch.push(link);
        }
    }

    /// As [`Self::keep`], of one that tells of modules: it goes when the process begins to switch C stacks.
    pub fn keep_loads(&mut self, pid: u32, link: Link) {
        if let Some(live) = self.live.get_mut(&pid) {
            live.loads.push(link);
        }
    }

    /// The first look at a process, which knows where to watch it, the process itself, its index, and whether it
    /// switches stacks.
    pub fn first_part(&self, pid: u32) -> Option<(Arc<Traced>, Arc<Process>, u8, bool)> {
        let live = self.live.get(&pid)?;
        let first = Arc::clone(live.parts.first()?);
        Some((first, Arc::clone(&live.process), live.index as u8, live.switches))
    }

    /// Looks a process over again and probes what has come. `None`: it is not traced.
    pub fn rescan(&mut self, pid: u32) -> anyhow::Result<Option<Found>> {
        let switches = self.look_for_switches(pid)?;
        self.look_for_belongings()?;
        let Some(live) = self.live.get(&pid) else {
            return Ok(None);
        };
        let first = live.parts.first().context("nothing was found")?;
        let mut traced = first.find_new(&self.wanted, &live.known)?;
        let index = live.index as u8;
        let functions = traced.sites.len();
        let files: HashSet<usize> = traced.sites.iter().map(|site| site.file).collect();
        let files = files
            .into_iter()
            .map(|file| traced.discovery.files[file].path.display().to_string())
            .collect();
        if functions != 0 {
            self.number(&mut traced)?;
            let attached = traced.attach(&self.kernel, &traced.process, index, switches)?;
            if let Some(live) = self.live.get_mut(&pid) {
                live.known.extend(traced.places());
                live.attached.push(attached);
                self.reporter
                    .names()
                    .know_types(live.index, &traced.discovery.types);
                if let Some(adding) = &mut self.adding {
                    adding.know_types(live.index, &traced.discovery.types);
                }
                live.parts.push(Arc::new(traced));
            }
        }
        Ok(Some(Found { files, functions }))
    }

    /// Gives the sites of a process their numbers.
    fn number(&mut self, traced: &mut Traced) -> anyhow::Result<()> {
        let first = self.sites.len();
        let all = first + traced.sites.len();
        if all > MAX_SITES as usize {
            bail!("{all} functions are too many at once (at most {MAX_SITES}); narrow -e or -f");
        }
        for (site, number) in traced.sites.iter_mut().zip(first as u32..) {
            site.number = number;
        }
        let metas = traced.sites.iter().map(|site| site.meta.clone());
        self.sites = self.sites.iter().cloned().chain(metas).collect();
        self.reporter.set_sites(Arc::clone(&self.sites));
        if self.recorder.is_some() {
            Recorder::sites(&self.sites[first..], &mut self.buffer);
        }
        if let Some(adding) = &mut self.adding {
            adding.number(first as u32, &self.sites[first..])?;
        }
        Ok(())
    }

    fn free_index(&mut self) -> anyhow::Result<u16> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        if u32::from(self.next_index) >= MAX_TARGETS {
            bail!("more than {MAX_TARGETS} processes at once");
        }
        self.next_index += 1;
        Ok(self.next_index - 1)
    }

    /// A process ended, or runs another program; false where it was not traced. Take its records first.
    pub fn ended(&mut self, pid: u32, exec: bool) -> bool {
        let Some(live) = self.live.remove(&pid) else {
            return false;
        };
        if let Some(sampler) = &mut self.sampler {
            sampler.remove(pid);
        }
        let why = if exec { PROGRAM_REPLACED } else { PROCESS_ENDED };
        self.unobserved(Some(live.index), why);
        self.reporter.forget(live.index);
        self.reporter.names().remove(live.index);
        self.judge.forget(live.index, &mut self.verdicts);
        self.run_judge.forget(live.index);
        if let Some(adding) = &mut self.adding {
            adding.forget(live.index);
        }
        if let Some(recorder) = &mut self.recorder {
            let gone = item::Gone {
                target: live.index,
                replaced: exec,
            };
            recorder.gone(gone, &mut self.buffer);
        }
        if !exec {
            self.event(pid, &ProcessChange::Exit);
        }
        self.free.push(live.index);
        // Taking probes out waits for the kernel; nothing waits for this.
        thread::spawn(move || {
            Attached::detach(live.attached);
            drop((live.watch, live.loads));
        });
        true
    }

    /// Writes that something happened to a process.
    pub fn event(&mut self, pid: u32, change: &ProcessChange) {
        if !self.started {
            return;
        }
        let now = now_ns();
        self.reporter.process(pid, change, now, &mut self.buffer);
        if self.recorder.is_some() {
            Recorder::process(pid, change, now, &mut self.buffer);
        }
    }

    /// Takes a batch of records; how many.
    pub fn take(&mut self, ring: &mut Ring) -> usize {
        let Self {
            pairing,
            reporter,
            buffer,
            sites,
            recorder,
            judge,
            run_judge,
            verdicts,
            adding,
            profile,
            ..
        } = self;
        ring.drain(|bytes| match Record::parse_any(bytes) {
            Ok(record) if record.header.kind == KIND_CODE => {
                let target = record.header.target;
                let Some(frame) = reporter.learn(&record) else {
                    return;
                };
                if let Some(recorder) = recorder {
                    recorder.code(target, &frame, reporter.names(), buffer);
                }
            }
            Ok(record) if record.header.kind == KIND_SAMPLE => {
                if let Some(plan) = profile {
                    reporter.sample(&record, &mut plan.shared.lock());
                }
            }
            Ok(record) if record.header.kind == KIND_PATH => reporter.learn_path(&record),
            Ok(record) if record.header.kind == KIND_PLACE => {
                if let Some(adding) = adding {
                    adding.learn(&record, sites, reporter);
                }
            }
            Ok(record) if !run_judge.keeps(&record, reporter.names(), verdicts) => {}
            Ok(record) if !judge.keeps(&record, reporter.names(), verdicts) => {}
            Ok(record) => {
                if let Some(recorder) = recorder {
                    recorder.record(&record, reporter.names(), buffer);
                }
                pairing.feed(record, sites, &mut |call| reporter.call(&call, buffer));
            }
            Err(error) => log::error!("the kernel half sent what is no record: {error}"),
        })
    }

    /// Takes what is there.
    pub fn drain_all(&mut self, ring: &mut Ring) {
        for _ in 0..MAX_BATCHES {
            if self.take(ring) == 0 {
                return;
            }
        }
    }

    fn unobserved(&mut self, target: Option<u16>, why: &'static str) {
        self.reporter
            .unobserved(&mut self.pairing, target, why, &mut self.buffer);
    }

    pub fn check_loss(&mut self) -> anyhow::Result<()> {
        let (known, since) = self.lost;
        let dropped = self.kernel.dropped()?;
        if dropped > known {
            self.reporter.lost(dropped - known, since, &mut self.buffer);
            if self.recorder.is_some() {
                Recorder::loss(dropped - known, since, &mut self.buffer);
            }
        }
        self.lost = (dropped, now_ns());
        self.flush_due = true;
        Ok(())
    }

    /// Takes no samples any more of processes that run another program now, or have shut Python down: what is at the
    /// addresses that the kernel half reads is something else. True: there was one.
    pub fn look_for_others(&mut self) -> bool {
        if self.sampler.is_none() {
            return false;
        }
        let is_other = |live: &&Live| {
            let first = live.parts.first();
            first.is_some_and(|part| !part.interpreter.is_there(&*live.process))
        };
        let others = self.live.values().filter(is_other);
        let others: Vec<u32> = others.map(|live| live.process.pid()).collect();
        for pid in &others {
            if self.ended(*pid, true) && Process::open(*pid).is_ok() {
                log::warn!(
                    "process {pid} has shut Python down or runs another program: it is not profiled any more"
                );
            }
        }
        !others.is_empty()
    }

    pub fn has_output(&self) -> bool {
        let waits = self.recorder.is_some() && !self.flush_due && self.buffer.len() < FLUSH;
        !self.buffer.is_empty() && !waits
    }

    pub fn has_room(&self) -> bool {
        self.buffer.len() < CHUNK
    }

    /// The reader of the output went away.
    pub fn output_closed(&self) -> bool {
        self.output.queue().is_closed()
    }

    /// Hands the buffer to the writer, when it has room.
    pub async fn send(&mut self) {
        if let Ok(place) = self.output.queue().reserve().await {
            place.send(std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK)));
            self.flush_due = false;
        }
    }

    /// Takes all probes out.
    pub fn detach(&mut self) {
        if let Some(sampler) = &mut self.sampler {
            sampler.stop();
        }
        let lives = self.live.drain();
        let lives = lives.map(|(_, live)| (live.attached, (live.watch, live.loads)));
        let (attached, watch): (Vec<_>, Vec<_>) = lives.unzip();
        drop(watch);
        Attached::detach(attached.into_iter().flatten().collect());
    }

    /// After detaching: the rest of the records, the summary, the last bytes out.
    pub async fn finish(mut self, ring: &mut Ring) -> anyhow::Result<()> {
        while self.take(ring) != 0 {}
        // In the order in which a recording has them.
        self.check_loss()?;
        self.unobserved(None, TRACING_ENDED);
        self.start(&[]);
        let sites = self.sites.len() as u32;
        let mut counters = (0..sites)
            .map(|site| self.kernel.counters(site))
            .collect::<Result<Vec<_>, _>>()?;
        self.judge.tally().settle(&mut counters);
        self.run_judge.tally().settle(&mut counters);
        if let (Some(plan), Some(sampler)) = (&self.profile, &self.sampler) {
            plan.shared.lock().counts.lost = sampler.counters()?.dropped;
        }
        let inner = self.pairing.counts().inner;
        self.add_up(true)?;
        let mut summary = self.reporter.summary(&counters, inner, None, &mut self.buffer);
        let unmatched = self.judge.unmatched().into_iter();
        summary
            .unmatched
            .splice(0..0, unmatched.chain(self.run_judge.unmatched()));
        if self.recorder.is_some() {
            Recorder::end(&counters, &mut self.buffer);
        }
        if self.has_output() {
            let mut again = signal(SignalKind::interrupt())?;
            tokio::select! {
                () = self.send() => {}
                _ = again.recv() => std::process::exit(crate::INTERRUPTED),
            }
        }
        // Where both are seen on one terminal, the summary comes after the events.
        let last = self.to_stderr || std::io::stdout().is_terminal();
        let profile = self.profile.take();
        let print = || match &profile {
            Some(plan) => plan.print_summary(&summary),
            None => print_summary(&summary),
        };
        if !last {
            print();
        }
        // Whoever asks a second time does not want to wait for the reader of the output.
        let mut again = signal(SignalKind::interrupt())?;
        let written = tokio::task::spawn_blocking(move || self.output.finish());
        let result = tokio::select! {
            written = written => written?,
            _ = again.recv() => std::process::exit(crate::INTERRUPTED),
        };
        if last {
            print();
        }
        result.context("cannot write the output")
    }
}

fn info(traced: &Traced, pid: u32) -> TargetInfo {
    TargetInfo {
        pid,
        python: traced.interpreter.python_version_string().to_owned(),
        executable: traced.interpreter.executable().display().to_string(),
        functions: traced.sites.len(),
        unseen: traced.unseen.map(Cow::Borrowed),
    }
}

/// What of a recording is to be shown: what would have been, had it been printed at once.
pub fn filter(options: &OutputArgs) -> item::Filter {
    item::Filter {
        errors: options.errors,
        min_duration: options.min_duration,
        max_events: options.max_events,
        nested: options.nested,
        paths: options.filters.paths.clone(),
        peers: options.filters.peers.clone(),
        tasks: options.filters.tasks.clone(),
    }
}
