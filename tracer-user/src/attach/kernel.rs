//! The kernel half, loaded: programs, maps, ring buffer, counters.

use std::{
    collections::HashMap,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
    panic::resume_unwind,
    thread,
};

use aya::{
    Ebpf, EbpfError, EbpfLoader, Pod,
    maps::{Array, Map, MapData, MapError, RingBuf},
    programs::{ProgramError, RawTracePoint},
};
use thiserror::Error;
use tracer_common::{
    activation::MAX_RUNS,
    aggregate::MAX_PLACES,
    budget::Terms,
    counters::{Control, SiteCounters},
    filter::MAX_VERDICTS,
    handle::KernelOffsets,
    limits::USUAL_SITES,
    open::MAX_CALLERS,
    rate::Rate,
    share::Sharer,
    target::Target,
};

use super::{
    OBJECT,
    btf::Btf,
    links::Probe,
    loader::{LoadError, Programs},
    perf,
    price::{Empty, Prices},
    trial::{has_multi, has_sessions},
};

/// How the kernel half is sized.
#[derive(Clone, Copy, Debug)]
pub struct KernelOptions {
    /// Bytes of the ring buffer; a power of two.
    pub ring_bytes: u32,
    /// Probe sites at most.
    pub sites: u32,
    /// What the kernel half logs: [`log::Level`] as a number, 0 for nothing.
    pub log_level: u8,
    /// `FILTER_*` of [`tracer_common::filter`].
    pub filters: u64,
    /// Runs of Python functions are traced.
    pub runs: bool,
    /// Calls are only added up ([`super::Sums`]); whether those inside of other calls' work are too.
    pub sums: Option<Nested>,
    /// What probes cost is added up, and programs that do nothing are loaded for [`Kernel::prices`].
    pub budget: bool,
    /// About so many calls a second and function are recorded, and all that raise; and whether those inside of other calls' work are, too.
    pub rate: Option<(u32, Nested)>,
    /// Load programs that do nothing, to measure what a bare probe costs.
    pub empty: bool,
}

/// Whether calls that are part of another call's act are counted, or shown, by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nested(pub bool);

/// Why the kernel half could not be loaded or asked.
#[derive(Debug, Error)]
pub enum KernelError {
    #[error("cannot create the BPF maps: {0}")]
    Maps(#[from] EbpfError),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("BPF map `{0}` is missing from the embedded object")]
    NoMap(&'static str),
    #[error("BPF map cannot be used: {0}")]
    Map(#[from] MapError),
    #[error("cannot watch the kernel's tracepoint {tracepoint}: {error}")]
    Tracepoint {
        tracepoint: &'static str,
        error: ProgramError,
    },
    #[error("cannot find out what a probe costs here: {0}")]
    Prices(std::io::Error),
    #[error("cannot take samples: {0}")]
    Sampling(std::io::Error),
    #[error("cannot take samples by a clock on each processor: {0}")]
    Clock(ProgramError),
    #[error("BPF program `{0}` is missing from the embedded object")]
    NoProgram(&'static str),
}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodTarget(Target);
// SAFETY: plain integers, padding spelt out (`Target::_padding`).
unsafe impl Pod for PodTarget {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodCounters(SiteCounters);
// SAFETY: u64 only.
unsafe impl Pod for PodCounters {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodControl(Control);
// SAFETY: u64 only.
unsafe impl Pod for PodControl {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodOffsets(KernelOffsets);
// SAFETY: u64 only.
unsafe impl Pod for PodOffsets {}

/// Scratch slots for each CPU: a program that sleeps or is preempted keeps its own.
const SLOTS_PER_CPU: u32 = 8;
/// Scratch slots at least and at most.
const SLOT_RANGE: (u32, u32) = (64, 256);

/// The programs for calls, by what they serve.
struct CallPrograms {
    entry: &'static str,
    leave: &'static str,
    session: &'static str,
}

const RECORDED: CallPrograms = CallPrograms {
    entry: "pytrace_entry",
    leave: "pytrace_return",
    session: "pytrace_session",
};
const SUMMED: CallPrograms = CallPrograms {
    entry: "pytrace_stat_entry",
    leave: "pytrace_stat_return",
    session: "pytrace_stat",
};

/// The loaded programs and their maps.
pub struct Kernel {
    entry: OwnedFd,
    returns: Returns,
    watch: OwnedFd,
    /// For the places where runs of Python functions begin and end.
    run: Option<OwnedFd>,
    targets: Array<MapData, PodTarget>,
    running_loop_keys: Array<MapData, u64>,
    spared: Array<MapData, u64>,
    traced: aya::maps::HashMap<MapData, u32, u32>,
    replaced: Array<MapData, u64>,
    counters: Array<MapData, PodCounters>,
    control: Array<MapData, PodControl>,
    wake: Array<MapData, u64>,
    terms: Array<MapData, u64>,
    site_costs: Array<MapData, u64>,
    costs: Array<MapData, u64>,
    /// Programs that do nothing, for entries and for returns.
    empty: Option<(OwnedFd, OwnedFd)>,
    ebpf: Ebpf,
}

impl Kernel {
    /// Creates the maps and loads the programs; nothing is attached yet.
    pub fn load(options: KernelOptions) -> Result<Self, KernelError> {
        if !has_multi() {
            perf::prepare();
        }
        let cpus = aya::util::nr_cpus().map_or(1, |n| n as u32);
        let slots = (cpus * SLOTS_PER_CPU)
            .next_power_of_two()
            .clamp(SLOT_RANGE.0, SLOT_RANGE.1);
        let verdicts = if options.filters == 0 { 1 } else { MAX_VERDICTS };
        let runs = if options.runs { MAX_RUNS } else { 1 };
        let sums = |size| if options.sums.is_some() { size } else { 1 };
        let budget = |size| if options.budget { size } else { 1 };
        let rate = |size| if options.rate.is_some() { size } else { 1 };
        let mut ebpf = EbpfLoader::new()
            .override_global("AYA_LOG_LEVEL", &options.log_level, false)
            .override_global("SOME_CALLS", &u64::from(options.rate.is_some()), true)
            .map_max_entries("SLOTS", slots)
            .map_max_entries("EVENTS", options.ring_bytes)
            .map_max_entries("COUNTERS", options.sites.max(1))
            .map_max_entries("HIDDEN_CODE", verdicts)
            .map_max_entries("JUDGED_THREADS", verdicts)
            .map_max_entries("HIDDEN_CALLS", verdicts)
            .map_max_entries("RUNS", runs)
            .map_max_entries("RUN_VERDICTS", runs)
            .map_max_entries("AGGREGATES", sums(USUAL_SITES + MAX_PLACES))
            .map_max_entries("PLACES", sums(MAX_PLACES))
            .map_max_entries("CALLS", sums(MAX_CALLERS))
            .map_max_entries("SITE_FACTS", sums(options.sites).max(rate(options.sites)))
            .map_max_entries("SITE_RATES", rate(options.sites))
            .map_max_entries("KEPT_CALLS", rate(MAX_CALLERS))
            .map_max_entries("TERMS", budget(options.sites))
            .map_max_entries("SITE_COSTS", budget(options.sites))
            .load(OBJECT)?;
        let programs = Programs::link(OBJECT, &map_fds(&ebpf))?;
        let or_empty = |name| if options.empty { "pytrace_empty" } else { name };
        let calls = if options.sums.is_some() {
            &SUMMED
        } else {
            &RECORDED
        };
        // The kernel goes through the two large ones side by side.
        let (entry, returns) = thread::scope(|scope| {
            let entry = scope.spawn(|| programs.load(or_empty(calls.entry), Probe::Entry));
            let returns = Returns::load(&programs, calls, or_empty);
            let entry = entry.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok::<_, LoadError>((entry?, returns?))
        })?;
        let watch = programs.load("pytrace_watch", Probe::Entry)?;
        let run = options
            .runs
            .then(|| programs.load(or_empty("pytrace_run"), Probe::Entry))
            .transpose()?;
        let empty = options
            .budget
            .then(|| {
                let name = "pytrace_empty";
                let entry = programs.load(name, Probe::Entry)?;
                Ok::<_, LoadError>((entry, programs.load(name, returns.probe())?))
            })
            .transpose()?;
        let mut take = |name| ebpf.take_map(name).ok_or(KernelError::NoMap(name));
        let targets = Array::try_from(take("TARGETS")?)?;
        let running_loop_keys = Array::try_from(take("RUNNING_LOOP_KEYS")?)?;
        let spared = Array::try_from(take("SPARED")?)?;
        let traced = aya::maps::HashMap::try_from(take("TRACED")?)?;
        let replaced = Array::try_from(take("REPLACED")?)?;
        let counters = Array::try_from(take("COUNTERS")?)?;
        let mut control: Array<_, PodControl> = Array::try_from(take("CONTROL")?)?;
        let wake = Array::try_from(take("WAKE")?)?;
        let terms = Array::try_from(take("TERMS")?)?;
        let site_costs = Array::try_from(take("SITE_COSTS")?)?;
        let costs = Array::try_from(take("COSTS")?)?;
        let nested = options.sums.or(options.rate.map(|(_, nested)| nested));
        control.set(
            0,
            PodControl(Control {
                dropped: 0,
                slot_mask: u64::from(slots) - 1,
                filters: options.filters,
                nested: u64::from(nested.is_some_and(|nested| nested.0)),
                budget: u64::from(options.budget),
                places: 0,
                rate: match options.rate {
                    Some((calls, _)) => Rate::per_second(calls),
                    None => Rate::default(),
                },
            }),
            0,
        )?;
        // Without, descriptors stay numbers.
        if let Ok(btf) = Btf::read() {
            let mut map: Array<_, PodOffsets> = Array::try_from(take("OFFSETS")?)?;
            map.set(0, PodOffsets(btf.files()), 0)?;
        }
        Ok(Self {
            entry,
            returns,
            watch,
            run,
            targets,
            running_loop_keys,
            spared,
            traced,
            replaced,
            counters,
            control,
            wake,
            terms,
            site_costs,
            costs,
            empty,
            ebpf,
        })
    }

    /// The program for entry probes.
    pub fn entry(&self) -> BorrowedFd<'_> {
        self.entry.as_fd()
    }

    /// The program for returns, and whether it is for the entries too.
    pub fn returns(&self) -> (BorrowedFd<'_>, Probe) {
        match &self.returns {
            Returns::Alone(program) => (program.as_fd(), self.returns.probe()),
            Returns::Sessions { calls, .. } => (calls.as_fd(), self.returns.probe()),
        }
    }

    /// What being probed costs on this machine, where there is a budget; takes some 20 ms.
    pub fn prices(&self) -> Result<Prices, KernelError> {
        let (entry, returns) = self
            .empty
            .as_ref()
            .ok_or(KernelError::NoProgram("pytrace_empty"))?;
        let empty = Empty {
            entry: entry.as_fd(),
            returns: (returns.as_fd(), self.returns.probe()),
        };
        Prices::measure(empty).map_err(KernelError::Prices)
    }

    /// Tells the kernel half what a site costs, and which probe serves it.
    pub fn set_terms(&mut self, site: u32, terms: Terms) -> Result<(), KernelError> {
        Ok(self.terms.set(site, terms.0, 0)?)
    }

    /// What the probes of a site have cost so far, nanoseconds.
    pub fn site_cost_ns(&self, site: u32) -> Result<u64, KernelError> {
        Ok(self.site_costs.get(&site, 0)?)
    }

    /// What those of all sites have cost a target so far, nanoseconds: also of a process that had its index before.
    pub fn cost_ns(&self, target: u32) -> Result<u64, KernelError> {
        Ok(self.costs.get(&target, 0)?)
    }

    /// The program for the places where runs of Python functions begin and end, if they are traced.
    pub fn run(&self) -> Option<BorrowedFd<'_>> {
        self.run.as_ref().map(OwnedFd::as_fd)
    }

    /// The program for what executes modules, which sees one come that switches C stacks ([`tracer_common::load`]); where the
    /// kernel has session programs.
    pub fn loads(&self) -> Option<BorrowedFd<'_>> {
        match &self.returns {
            Returns::Alone(_) => None,
            Returns::Sessions { loads, .. } => Some(loads.as_fd()),
        }
    }

    /// The program for probes that watch.
    pub fn watch(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }

    /// Runs `program` at the kernel's own tracepoint, until this is dropped.
    pub fn tracepoint(&mut self, program: &'static str, tracepoint: &'static str) -> Result<(), KernelError> {
        let failed = |error| KernelError::Tracepoint { tracepoint, error };
        let found = self.ebpf.program_mut(program);
        let found: &mut RawTracePoint = found
            .ok_or(KernelError::NoProgram(program))?
            .try_into()
            .map_err(failed)?;
        found.load().map_err(failed)?;
        found.attach(tracepoint).map_err(failed)?;
        Ok(())
    }

    /// One of the maps, for a part of the tracer that has it to itself.
    pub(super) fn take_map(&mut self, name: &'static str) -> Result<Map, KernelError> {
        self.ebpf.take_map(name).ok_or(KernelError::NoMap(name))
    }

    /// Tells the kernel half about a traced process.
    pub fn set_target(&mut self, index: u32, target: Target) -> Result<(), KernelError> {
        // It may have stood for another process.
        self.spared.set(index, 0, 0)?;
        self.replaced.set(index, 0, 0)?;
        self.running_loop_keys.set(index, 0, 0)?;
        self.update_target(index, target)
    }

    /// Tells it what more is known of a process.
    pub fn update_target(&mut self, index: u32, target: Target) -> Result<(), KernelError> {
        Ok(self.targets.set(index, PodTarget(target), 0)?)
    }

    /// Says which process has an index; from now on the probes of its group, if it is of one, serve it.
    pub fn set_process(&mut self, pid: u32, sharer: Sharer) -> Result<(), KernelError> {
        Ok(self.traced.insert(pid, sharer.0, 0)?)
    }

    /// It has none any more.
    pub fn forget_process(&mut self, pid: u32) {
        // It may not be there.
        let _ = self.traced.remove(&pid);
    }

    /// Nothing is recorded of that process any more, from this moment on; its probes may still be there.
    pub fn stop(&mut self, index: u32) -> Result<(), KernelError> {
        Ok(self.replaced.set(index, 1, 0)?)
    }

    /// Returns of functions in which Python code may run are not awaited in that process: it switches C stacks.
    pub fn spare(&mut self, index: u32) -> Result<(), KernelError> {
        Ok(self.spared.set(index, 1, 0)?)
    }

    /// Places that calls were seen to come from; above [`MAX_PLACES`]: there was no room for all.
    pub fn places(&self) -> Result<u64, KernelError> {
        Ok(self.control.get(&0, 0)?.0.places)
    }

    /// The ring buffer; once.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>, KernelError> {
        let map = self.ebpf.take_map("EVENTS").ok_or(KernelError::NoMap("EVENTS"))?;
        Ok(RingBuf::try_from(map)?)
    }

    /// A site's counters.
    pub fn counters(&self, site: u32) -> Result<SiteCounters, KernelError> {
        Ok(self.counters.get(&site, 0)?.0)
    }

    /// Asks to be woken by the next record. Look at the ring buffer once more after this.
    pub fn wake_me(&mut self) -> Result<(), KernelError> {
        Ok(self.wake.set(0, 1u64, 0)?)
    }

    /// Records lost so far, over all sites.
    pub fn dropped(&self) -> Result<u64, KernelError> {
        Ok(self.control.get(&0, 0)?.0.dropped)
    }

    /// What aya-log needs.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }
}

/// The programs for returns.
enum Returns {
    /// Of calls whose entries have a program of their own.
    Alone(OwnedFd),
    /// For entries and returns: they spare those of a process that begins to switch C stacks, and need not be probed where a call is
    /// left out.
    Sessions { calls: OwnedFd, loads: OwnedFd },
}

impl Returns {
    /// `name`: of the program to be loaded in its place.
    fn load(
        programs: &Programs,
        calls: &CallPrograms,
        name: impl Fn(&'static str) -> &'static str,
    ) -> Result<Self, LoadError> {
        if has_sessions() {
            return Ok(Self::Sessions {
                calls: programs.load(name(calls.session), Probe::Session)?,
                loads: programs.load("pytrace_load", Probe::Session)?,
            });
        }
        Ok(Self::Alone(programs.load(name(calls.leave), Probe::Return)?))
    }

    fn probe(&self) -> Probe {
        match self {
            Self::Alone(_) => Probe::Return,
            Self::Sessions { .. } => Probe::Session,
        }
    }
}

fn map_fds(ebpf: &Ebpf) -> HashMap<String, RawFd> {
    ebpf.maps()
        .filter_map(|(name, map)| Some((name.to_owned(), map_fd(map)?)))
        .collect()
}

fn map_fd(map: &Map) -> Option<RawFd> {
    match map {
        Map::Array(data)
        | Map::RingBuf(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data) => Some(data.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}
