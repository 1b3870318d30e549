//! Samples: where the threads of traced processes are whenever a clock ticks.
//!
//! An interrupt takes them, in the midst of whatever the thread does. It cannot wait, so each loop is short and only
//! what is in memory is read.

use crate::limits::MAX_FRAMES;

/// Python frames of a sample, innermost first, where nothing else is said. One more is read, to know whether there is.
pub const SAMPLE_FRAMES: u32 = MAX_FRAMES - 1;
/// Thread states looked at to find the current thread's; an interrupt has no time for [`crate::limits::MAX_THREADS`].
pub const SAMPLE_THREADS: u32 = 2048;
/// Frames whose code objects one sample names. The daemon reads the names of the others, whose calls last longer.
pub const SAMPLE_CODES: u32 = 16;

/// What the kernel half has to know to take samples; one for all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Sampling {
    /// Device and inode of the pid namespace in which processes are known; zeros: the initial one.
    pub pidns_dev: u64,
    pub pidns_ino: u64,
    /// Offset of `thread.fsbase` in `task_struct`: `PyThreadState.thread_id` has the same number.
    pub fs_base: u64,
    /// Frames of a sample; at most [`SAMPLE_FRAMES`].
    pub frames: u64,
}

const _: () = assert!(size_of::<Sampling>() == 32);

/// `taken == delivered + dropped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SampleCounters {
    /// The clock ticked while a thread of a traced process was on a processor.
    pub taken: u64,
    /// Handed to the ring buffer.
    pub delivered: u64,
    /// Lost: ring full or no scratch slot free.
    pub dropped: u64,
}

const _: () = assert!(size_of::<SampleCounters>() == 24);
