//! The daemon's end of what happens to processes: the small ring buffer, and the maps that say who is
//! followed and who may be waiting.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError, RingBuf},
};
use tracer_common::watch::{EVERY_PROCESS, Happening, TELL_ALL, TELL_FOLLOWED, TaskOffsets};

use super::{Kernel, KernelError, Readiness, btf::Btf};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodTaskOffsets(TaskOffsets);
// SAFETY: u64 only.
unsafe impl Pod for PodTaskOffsets {}

/// What happens to followed processes, as it comes.
pub struct Watch {
    ring: RingBuf<MapData>,
    readiness: Readiness,
    followed: HashMap<MapData, u32, u32>,
    held: HashMap<MapData, u32, u64>,
    held_fd: OwnedFd,
    /// Programs that look into it may be loaded later.
    task: Array<MapData, PodTaskOffsets>,
    /// What the kernel half has to know of tasks.
    offsets: io::Result<TaskOffsets>,
}

impl Watch {
    /// Takes the maps; once. Call inside a runtime.
    pub fn new(kernel: &mut Kernel) -> Result<Self, KernelError> {
        let ring = RingBuf::try_from(kernel.take_map("WATCHED")?)?;
        let fd = ring.as_fd().try_clone_to_owned();
        let readiness = fd.and_then(Readiness::new).map_err(MapError::IoError)?;
        let held = kernel.take_map("HELD")?;
        let Map::HashMap(data) = &held else {
            return Err(KernelError::NoMap("HELD"));
        };
        let held_fd = data.fd().as_fd().try_clone_to_owned();
        let mut task = Array::try_from(kernel.take_map("TASK")?)?;
        let offsets = Btf::read().and_then(|btf| btf.task());
        if let Ok(offsets) = &offsets {
            task.set(0, PodTaskOffsets(*offsets), 0)?;
        }
        Ok(Self {
            ring,
            readiness,
            followed: HashMap::try_from(kernel.take_map("FOLLOWED")?)?,
            held_fd: held_fd.map_err(MapError::IoError)?,
            held: HashMap::try_from(held)?,
            task,
            offsets,
        })
    }

    /// From now on, programs that followed processes begin are told and held.
    pub fn programs(&mut self, kernel: &mut Kernel) -> Result<(), KernelError> {
        kernel.tracepoint("pytrace_exec", "sched_process_exec")
    }

    /// From now on, it is told which programs processes begin that are followed, or `all`; none is held.
    pub fn told_programs(&mut self, kernel: &mut Kernel, all: bool) -> Result<(), KernelError> {
        let which = if all { TELL_ALL } else { TELL_FOLLOWED };
        self.followed.insert(EVERY_PROCESS, which, 0)?;
        self.programs(kernel)
    }

    /// From now on, children of followed processes are followed; or not `follow`: those are told that have a copy of the memory.
    ///
    /// # Errors
    ///
    /// Also where the kernel does not say how its tasks look (no BTF).
    pub fn children(&mut self, kernel: &mut Kernel, follow: bool) -> Result<(), KernelError> {
        let known = self.offsets.as_ref();
        let mut offsets =
            *known.map_err(|error| MapError::IoError(io::Error::new(error.kind(), error.to_string())))?;
        offsets.follow = follow.into();
        self.task.set(0, PodTaskOffsets(offsets), 0)?;
        kernel.tracepoint("pytrace_fork", "task_newtask")
    }

    /// Whether the process was not stopped again since. A SIGCONT for what was before would let it run on before
    /// it may.
    pub fn is_last_stop(&self, what: &Happening) -> bool {
        self.held
            .get(&what.pid, 0)
            .map_or(true, |last| last == what.time_ns)
    }

    /// Follows a process.
    pub fn follow(&mut self, pid: u32) -> Result<(), KernelError> {
        Ok(self.followed.insert(pid, 0, 0)?)
    }

    /// Follows it no longer; its id may come back for another process.
    pub fn forget(&mut self, pid: u32) {
        // Either may not be there.
        let _ = self.followed.remove(&pid);
        let _ = self.held.remove(&pid);
    }

    /// Processes followed now; those that ended may still be among them.
    pub fn followed(&self) -> Vec<u32> {
        let followed = self.followed.keys().filter_map(Result::ok);
        followed.filter(|pid| *pid != EVERY_PROCESS).collect()
    }

    /// The next thing that happened, if any.
    pub fn take(&mut self) -> Option<Happening> {
        let record = self.ring.next()?;
        let mut words = [0u32; 6];
        for (word, bytes) in words.iter_mut().zip(record.chunks_exact(4)) {
            *word = u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        let [what, pid, parent, held, low, high] = words;
        Some(Happening {
            what,
            pid,
            parent,
            held,
            time_ns: u64::from(high) << 32 | u64::from(low),
        })
    }

    /// Waits until something happened.
    pub async fn readable(&self) -> io::Result<()> {
        self.readiness.readable().await
    }

    /// The map of processes that may be waiting, for the guard.
    pub fn held_fd(&self) -> io::Result<OwnedFd> {
        self.held_fd.try_clone()
    }
}

/// The map of processes that may be waiting, in the hands of the guard.
pub struct Held(HashMap<MapData, u32, u64>);

impl Held {
    /// The map behind a descriptor made by [`Watch::held_fd`].
    pub fn from_fd(fd: OwnedFd) -> Result<Self, KernelError> {
        let map = Map::HashMap(MapData::from_fd(fd)?);
        Ok(Self(HashMap::try_from(map)?))
    }

    /// Processes that were stopped at some time.
    pub fn pids(&self) -> Vec<u32> {
        self.0.keys().filter_map(Result::ok).collect()
    }
}
