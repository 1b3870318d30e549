//! Samples: a clock on each processor, and which processes are looked at when it ticks.
//!
//! Not a clock for each thread: no thread can be missed, and those of the traced program have nothing to carry from processor to
//! processor.

use aya::{
    Pod,
    maps::{Array, HashMap, MapData},
    programs::{
        PerfEvent,
        perf_event::{PerfEventConfig, PerfEventLink, PerfEventScope, SamplePolicy, SoftwareEvent},
    },
    util::online_cpus,
};
use tracer_common::sample::{SampleCounters, Sampling};

use super::{Kernel, KernelError, btf::Btf};
use crate::process::{self, Process};

const PROGRAM: &str = "pytrace_sample";
const NS_PER_S: u64 = 1_000_000_000;

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodSampling(Sampling);
// SAFETY: four u64.
unsafe impl Pod for PodSampling {}

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodCounters(SampleCounters);
// SAFETY: three u64.
unsafe impl Pod for PodCounters {}

/// Takes samples until it is dropped, or stopped.
pub struct Sampler {
    sampled: HashMap<MapData, u32, u32>,
    counters: Array<MapData, PodCounters>,
    clocks: Vec<PerfEventLink>,
    /// The pid namespace in which processes are known; zeros: the initial one.
    namespace: (u64, u64),
}

impl Sampler {
    /// Starts the clocks: `rate` ticks a second on each processor, `frames` of a stack. Processes come by [`Self::add`].
    ///
    /// # Errors
    ///
    /// Also where the kernel does not say where a thread's `fs` base is (no BTF).
    pub fn start(kernel: &mut Kernel, rate: u32, frames: u32) -> Result<Self, KernelError> {
        let fs_base = Btf::read().and_then(|btf| btf.fs_base());
        let (pidns_dev, pidns_ino) = process::own_pid_namespace().unwrap_or_default();
        let sampling = Sampling {
            pidns_dev,
            pidns_ino,
            fs_base: fs_base.map_err(KernelError::Sampling)?,
            frames: frames.into(),
        };
        let mut map: Array<_, PodSampling> = Array::try_from(kernel.take_map("SAMPLING")?)?;
        map.set(0, PodSampling(sampling), 0)?;
        let mut sampler = Self {
            sampled: HashMap::try_from(kernel.take_map("SAMPLED")?)?,
            counters: Array::try_from(kernel.take_map("SAMPLES")?)?,
            clocks: Vec::new(),
            namespace: (pidns_dev, pidns_ino),
        };
        let program = kernel.ebpf_mut().program_mut(PROGRAM);
        let program: &mut PerfEvent = program
            .ok_or(KernelError::NoProgram(PROGRAM))?
            .try_into()
            .map_err(KernelError::Clock)?;
        program.load().map_err(KernelError::Clock)?;
        let cpus = online_cpus().map_err(|(_, error)| KernelError::Sampling(error))?;
        for cpu in cpus {
            let link = program.attach(
                PerfEventConfig::Software(SoftwareEvent::CpuClock),
                PerfEventScope::AllProcessesOneCpu { cpu },
                SamplePolicy::Period(NS_PER_S / u64::from(rate.max(1))),
                false,
            );
            let link = link.and_then(|link| program.take_link(link));
            sampler.clocks.push(link.map_err(KernelError::Clock)?);
        }
        Ok(sampler)
    }

    /// Whether a process can be told when it is interrupted: from inside of a container none of another pid namespace.
    pub fn sees(&self, process: &Process) -> bool {
        self.namespace.1 == 0 || process.pid_namespace().is_ok_and(|other| other == self.namespace)
    }

    /// Takes samples of a process from now on. `index`: its place among all targets.
    pub fn add(&mut self, pid: u32, index: u16) -> Result<(), KernelError> {
        Ok(self.sampled.insert(pid, u32::from(index), 0)?)
    }

    /// Takes none of it any more; its id may come back for another process.
    pub fn remove(&mut self, pid: u32) {
        // It may not be there.
        let _ = self.sampled.remove(&pid);
    }

    /// Stops the clocks.
    pub fn stop(&mut self) {
        self.clocks.clear();
    }

    /// What became of the samples.
    pub fn counters(&self) -> Result<SampleCounters, KernelError> {
        Ok(self.counters.get(&0, 0)?.0)
    }
}
