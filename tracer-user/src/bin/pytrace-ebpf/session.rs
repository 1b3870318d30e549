//! A trace in progress: the processes traced now, and what becomes of their records. Processes and sites come and
//! go while it runs.

mod adding;
mod belongings;
mod budget;
mod end;
mod numbers;
mod processes;
mod shared;
mod switches;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use tracer_common::{
    target::{CaptureLimits, Target},
    wire::{KIND_CODE, KIND_PATH, KIND_PLACE, KIND_SAMPLE},
};
use tracer_user::{
    attach::{Kernel, Link, Sampler, SiteFacts, Verdicts},
    cpython::names::ProcessNames,
    decode::{pair::Pairing, record::Record},
    event::{SiteMeta, judge::Judge, runs::RunJudge},
    process::Process,
    profile::sink::{Profiler, Shared},
    recording::{Recorder, item},
    sink::{ProcessChange, Sink, TargetInfo, nothing::Nothing},
};

use self::{adding::Adding, belongings::Belongings, budget::Budget, numbers::Numbers, shared::Groups};
use crate::{
    agent::orders::Sharing,
    cli::{OutputArgs, Share, TraceArgs},
    output::{CHUNK, Output, is_recording},
    probes::{At, Attached},
    profile::Plan,
    report::{Reporter, epoch_ns, now_ns, sink_for},
    ring::Ring,
    sweep,
    target::{Place, Traced, Wanted},
};

/// Why the end of a call was not seen.
pub const PROCESS_ENDED: &str = "process ended";
pub const PROGRAM_REPLACED: &str = "the process runs another program";
pub const TRACING_ENDED: &str = "tracing ended";
pub const OVER_BUDGET: &str = "its return probe was taken out to keep the budget";

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
    how: How,
    /// The group whose probes serve it.
    group: Option<u32>,
}

/// How a process is traced.
#[derive(Clone)]
pub struct How {
    pub wanted: Arc<Wanted>,
    pub limits: CaptureLimits,
    /// What that may cost it.
    pub budget: Option<Share>,
    pub sharing: Sharing,
}

impl Live {
    /// Where its probes go, what was found, and those that are there, in the same order.
    fn probes<'a>(&'a mut self, kernel: &'a Kernel) -> (At<'a>, &'a [Arc<Traced>], &'a mut Vec<Attached>) {
        let at = At {
            kernel,
            process: Some(&self.process),
            index: self.index as u8,
            switches: self.switches,
        };
        (at, &self.parts, &mut self.attached)
    }
}

/// What a rescan found.
pub struct Found {
    pub files: Vec<String>,
    pub functions: usize,
}

/// A trace in progress.
pub struct Session {
    pub kernel: Kernel,
    /// Where nothing else is said of a process.
    how: How,
    judge: Judge,
    run_judge: RunJudge,
    verdicts: Verdicts,
    pairing: Pairing,
    sites: Arc<[SiteMeta]>,
    pub reporter: Reporter<ProcessNames>,
    live: HashMap<u32, Live>,
    /// Numbers of targets and sites.
    numbers: Numbers,
    /// Records that came of processes that are traced no more.
    pub late: u64,
    output: Output,
    /// A recording is made, not text.
    recorder: Option<Recorder>,
    /// Calls are added up in the kernel, and no record of them comes.
    adding: Option<Adding>,
    /// Of sites, where the kernel half has to know more of them.
    facts: Option<SiteFacts>,
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
    budget: Option<Budget>,
    /// Probes that serve several processes.
    groups: Groups,
}

impl Session {
    /// `to_stderr`: events may go there too, so that the summary has to come after them. `feed`: where they go, if the agent says what to
    /// trace.
    #[expect(clippy::too_many_arguments, reason = "the parts of a trace, each given once")]
    pub fn new(
        args: &TraceArgs,
        wanted: Wanted,
        judge: Judge,
        mut kernel: Kernel,
        output: Output,
        to_stderr: bool,
        profile: Option<Plan>,
        feed: Option<Box<dyn Sink>>,
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
                sample: args.sample,
            };
            Recorder::header(header, &mut buffer);
            Recorder::default()
        });
        let numbers = match feed {
            Some(_) => Numbers::of_many(),
            None => Numbers::default(),
        };
        let sink: Box<dyn Sink> = match (&recorder, &profile) {
            _ if let Some(feed) = feed => feed,
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
        let budget = args.budget.map(|_| Budget::new(&kernel)).transpose()?;
        let knows = args.sums().is_some() || args.sample.is_some();
        let facts = knows.then(|| SiteFacts::new(&mut kernel)).transpose()?;
        let adding = args.sums().map(|_| Adding::new(&mut kernel)).transpose()?;
        Ok(Self {
            kernel,
            how: How {
                wanted: Arc::new(wanted),
                limits,
                budget: args.budget,
                sharing: Sharing::Own,
            },
            judge,
            run_judge: RunJudge::new(&args.calls).map_err(crate::Usage::from)?,
            verdicts,
            pairing: Pairing::new(args.output.shown.nested),
            sites: Arc::new([]),
            reporter: Reporter::new(ProcessNames::new(), &args.output, sink, epoch_ns)?.sampled(args.sample),
            live: HashMap::new(),
            numbers,
            late: 0,
            output,
            recorder,
            adding,
            facts,
            buffer,
            flush_due: true,
            started: false,
            to_stderr,
            lost: (0, now_ns()),
            profile,
            sampler,
            budget,
            groups: Groups::default(),
        })
    }

    /// What is looked for where nothing else is said.
    pub fn wanted(&self) -> &Wanted {
        &self.how.wanted
    }

    /// What is seen of a process, and how that ends.
    pub fn what(&self, info: &TargetInfo) -> String {
        let functions = format!("{} functions", info.functions);
        match (&self.profile, self.reporter.rate()) {
            (Some(plan), _) => plan.what(&functions),
            (None, Some(rate)) => {
                format!(
                    "{functions}, of each about {rate} calls a second and all that raise; Ctrl-C detaches"
                )
            }
            (None, None) => format!("{functions}; Ctrl-C detaches"),
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
        // Shared probes are in all processes of that file.
        live.filter(|live| live.group.is_none())
            .map(|live| {
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

    /// Adds to the output.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.buffer);
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
            numbers,
            late,
            ..
        } = self;
        ring.drain(|bytes| match Record::parse_any(bytes) {
            // Its names are forgotten.
            Ok(record) if numbers.is_gone(record.header.target) => *late += 1,
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
}

/// What of a recording is to be shown: what would have been, had it been printed at once.
pub fn filter(options: &OutputArgs) -> item::Filter {
    item::Filter {
        errors: options.shown.errors,
        min_duration: options.shown.min_duration,
        max_events: options.shown.max_events,
        nested: options.shown.nested,
        paths: options.shown.filters.paths.clone(),
        peers: options.shown.filters.peers.clone(),
        tasks: options.shown.filters.tasks.clone(),
    }
}
