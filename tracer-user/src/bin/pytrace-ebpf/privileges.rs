//! What the tool may do while it traces: no more than tracing needs.
//!
//! It reads memory and files that the traced processes chose. If one of them found a way to lead it astray, it should not be root with
//! all that root may do: most capabilities go, and system calls that it does not need. Landlock would fit to keep it from writing files, but it also keeps it from reading the memory of
//! processes outside of its own domain (`hook_ptrace_access_check`, security/landlock/task.c).

use anyhow::Context as _;
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_dumpable;
use tracer_user::{
    attach::has_multi,
    process::{self, Stage},
};

/// What is kept, of what there is.
const NEEDED: [Capability; 6] = [
    // Programs, maps and links.
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    // Memory, mappings and environment of processes of any user, also in containers.
    Capability::CAP_SYS_PTRACE,
    // Mapped files by `/proc/PID/map_files`.
    Capability::CAP_CHECKPOINT_RESTORE,
    // Files that only their owner may read.
    Capability::CAP_DAC_READ_SEARCH,
    // Whoever waits is let go on; signals for the program of `run`.
    Capability::CAP_KILL,
];

/// [`NEEDED`], and what this kernel asks for besides.
fn needed() -> Vec<Capability> {
    let mut needed = NEEDED.to_vec();
    if !has_multi() {
        // `perf_uprobe_event_init`, kernel/events/core.c at v6.1.
        needed.push(Capability::CAP_SYS_ADMIN);
    }
    needed
}

/// Gives up what neither tracing needs nor opening the file that the user named; before anything is read of a traced process.
pub fn reduce_before_output() -> anyhow::Result<()> {
    let mut needed = needed();
    needed.extend([Capability::CAP_DAC_OVERRIDE, Capability::CAP_SETPCAP]);
    keep(&needed)
}

/// Gives up what tracing does not need; after the output was opened, and after the program of `run` was started, which is to have
/// all it would have.
pub fn reduce() -> anyhow::Result<()> {
    keep(&needed())
}

/// Denies the tool the system calls that it does not need from that stage on; what does the work is not kept from it by a kernel, or a
/// container, that takes no filters.
pub fn confine(stage: Stage) {
    if let Err(error) = process::confine(stage) {
        log::warn!("the tool may make all system calls while it traces: {error}");
    }
}

/// For this thread and all that it starts; before there are others.
fn keep(needed: &[Capability]) -> anyhow::Result<()> {
    // No core file of it: it has values of the traced processes in its memory.
    set_dumpable(false).context("cannot forbid core files of this tool")?;
    let there = caps::read(None, CapSet::Permitted)?;
    let kept: CapsHashSet = there
        .intersection(&needed.iter().copied().collect())
        .copied()
        .collect();
    if there.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::read(None, CapSet::Bounding)?.difference(&kept) {
            caps::drop(None, CapSet::Bounding, *capability)?;
        }
    }
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    Ok(())
}
