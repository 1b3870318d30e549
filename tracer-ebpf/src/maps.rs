//! The maps. The daemon sizes `EVENTS`, `SLOTS` and `COUNTERS` before it loads.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, RingBuf},
};
use tracer_common::{
    aggregate::{Aggregate, Calls, PlaceKey},
    counters::{Control, SiteCounters},
    encode::Slot,
    filter::{CallKey, CodeKey, ThreadVerdict},
    handle::KernelOffsets,
    limits::MAX_TARGETS,
    open::KeptCalls,
    rate::SiteRate,
    sample::{SampleCounters, Sampling},
    target::Target,
    watch::TaskOffsets,
};

/// Records on their way to the daemon.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(16 << 20, 0);

/// Traced processes, by target index.
#[map]
pub static TARGETS: Array<Target> = Array::with_max_entries(MAX_TARGETS, 0);

/// Traced processes -> [`tracer_common::share::Sharer`].
#[map]
pub static TRACED: HashMap<u32, u32> = HashMap::with_max_entries(2 * MAX_TARGETS, 0);

/// Not 0: the process runs another program by now, and what is known of it is of the one before.
#[map]
pub static REPLACED: Array<u64> = Array::with_max_entries(MAX_TARGETS, 0);

/// Not 0: C stacks may be switched in that target, so returns of functions in which Python code may run are not probed.
#[map]
pub static SPARED: Array<u64> = Array::with_max_entries(MAX_TARGETS, 0);

/// Where the key of a target's running loops is, 0: not seen yet ([`tracer_common::encode::Search`]).
#[map]
pub static RUNNING_LOOP_KEYS: Array<u64> = Array::with_max_entries(MAX_TARGETS, 0);

/// Scratch memory for records in the making.
#[map]
pub static SLOTS: Array<Slot> = Array::with_max_entries(16, 0);

/// Counters, by site index.
#[map]
pub static COUNTERS: Array<SiteCounters> = Array::with_max_entries(1024, 0);

/// One [`Control`].
#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// 1: the daemon sleeps, the next record wakes it (and sets this to 0). Otherwise it looks by
/// itself, and no probe pays for waking it.
#[map]
pub static WAKE: Array<u64> = Array::with_max_entries(1, 0);

/// (target << 32 | thread id) -> address of its `PyThreadState`.
#[map]
pub static THREADS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Code objects whose names were sent, by [`tracer_common::encode::code_key`].
#[map]
pub static CODES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Files whose paths were sent: process and name mixed.
#[map]
pub static PATHS: LruHashMap<u64, u8> = LruHashMap::with_max_entries(16 * 1024, 0);

/// Target << 32 | thread id, and stack pointer of a call in progress -> address of the buffer it was given.
#[map]
pub static FILLING: LruHashMap<[u64; 2], u64> = LruHashMap::with_max_entries(16 * 1024, 0);

/// What happens to processes, apart from the calls.
#[map]
pub static WATCHED: RingBuf = RingBuf::with_byte_size(64 << 10, 0);

/// Processes whose programs and children are watched -> the process each was forked from.
#[map]
pub static FOLLOWED: HashMap<u32, u32> = HashMap::with_max_entries(16 * 1024, 0);

/// Processes that were stopped by a probe at some time -> when last. Whoever finds the tracer gone lets them go on.
#[map]
pub static HELD: HashMap<u32, u64> = HashMap::with_max_entries(4 * 1024, 0);

/// One [`KernelOffsets`]; zeros: file descriptors stay numbers.
#[map]
pub static OFFSETS: Array<KernelOffsets> = Array::with_max_entries(1, 0);

/// One [`TaskOffsets`].
#[map]
pub static TASK: Array<TaskOffsets> = Array::with_max_entries(1, 0);

/// One [`Sampling`].
#[map]
pub static SAMPLING: Array<Sampling> = Array::with_max_entries(1, 0);

/// Processes of which samples are taken -> target index.
#[map]
pub static SAMPLED: HashMap<u32, u32> = HashMap::with_max_entries(MAX_TARGETS, 0);

/// One [`SampleCounters`].
#[map]
pub static SAMPLES: Array<SampleCounters> = Array::with_max_entries(1, 0);

/// Code objects whose calls are left out. With the next two sized by the daemon, which may need none.
#[map]
pub static HIDDEN_CODE: LruHashMap<CodeKey, u64> = LruHashMap::with_max_entries(1, 0);

/// What was said of threads, by [`tracer_common::filter::thread_key`].
#[map]
pub static JUDGED_THREADS: LruHashMap<u64, ThreadVerdict> = LruHashMap::with_max_entries(1, 0);

/// Calls in progress that were left out at their entry.
#[map]
pub static HIDDEN_CALLS: LruHashMap<CallKey, u64> = LruHashMap::with_max_entries(1, 0);

/// Runs of Python functions in progress: target << 32 | thread id, and frame. With the next one sized by the daemon, which may
/// need none.
#[map]
pub static RUNS: LruHashMap<[u64; 2], u8> = LruHashMap::with_max_entries(1, 0);

/// What the daemon thinks of code objects (`WANTED`, `UNWANTED`), by target and [`tracer_common::encode::quick_key`].
#[map]
pub static RUN_VERDICTS: LruHashMap<[u64; 2], u64> = LruHashMap::with_max_entries(1, 0);

/// Sums of calls: by site, then by place ([`tracer_common::aggregate`]). This and the next ones are sized by the daemon, which may
/// need none.
#[map]
pub static AGGREGATES: Array<Aggregate> = Array::with_max_entries(1, 0);

/// Places that calls come from -> index of their sums.
#[map]
pub static PLACES: HashMap<PlaceKey, u64> = HashMap::with_max_entries(1, 0);

/// Calls in progress, by [`tracer_common::filter::thread_key`].
#[map]
pub static CALLS: LruHashMap<u64, Calls> = LruHashMap::with_max_entries(1, 0);

/// One [`Calls`] that has none.
#[map]
pub static NO_CALLS: Array<Calls> = Array::with_max_entries(1, 0);

/// [`tracer_common::budget::Terms`] by site. This and the next one are sized by the daemon, which may need none.
#[map]
pub static TERMS: Array<u64> = Array::with_max_entries(1, 0);

/// What probes have cost, by site, nanoseconds.
#[map]
pub static SITE_COSTS: Array<u64> = Array::with_max_entries(1, 0);

/// What probes have cost, by target index, nanoseconds.
#[map]
pub static COSTS: Array<u64> = Array::with_max_entries(MAX_TARGETS, 0);

/// Bits of [`tracer_common::aggregate::site`], by site.
#[map]
pub static SITE_FACTS: Array<u64> = Array::with_max_entries(1, 0);

/// How often functions are called, by site, where only some of the calls are recorded. This and the next one are sized by the daemon,
/// which may need none.
#[map]
pub static SITE_RATES: Array<SiteRate> = Array::with_max_entries(1, 0);

/// Calls in progress where only some are recorded, by [`tracer_common::filter::thread_key`].
#[map]
pub static KEPT_CALLS: LruHashMap<u64, KeptCalls> = LruHashMap::with_max_entries(1, 0);

/// One [`KeptCalls`] that has none.
#[map]
pub static NO_KEPT_CALLS: Array<KeptCalls> = Array::with_max_entries(1, 0);
