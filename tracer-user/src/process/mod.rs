//! A process from outside: its memory, its mappings and the files behind them.
//!
//! Everything read here is under the traced process's control, so every read, loop and
//! allocation has a bound.

mod confine;
mod files;
mod inherited;
mod maps;
mod memory;
mod open_files;
mod own_memory;
mod pidfd;
mod snapshot;
mod started;

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

pub use confine::{ConfineError, Stage, confine};
pub use files::OpenError;
pub use inherited::{close_on_exec, inherited};
pub use maps::{MAX_MAPPINGS, Mapping, parse as parse_maps};
pub use memory::{ReadError, ReadMemory};
pub use own_memory::give_memory_back;
pub use pidfd::pidfd;
pub use snapshot::Snapshot;
pub use started::{StartedWith, by_fork, wait_for_children};

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// Whether this program sees the host's process ids.
pub fn in_initial_pid_namespace() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self/ns/pid")?.ino() == INITIAL_PID_NAMESPACE)
}

/// Device and inode of the pid namespace in which this program sees processes; zeros where that is the initial one.
pub fn own_pid_namespace() -> io::Result<(u64, u64)> {
    let stat = nix::sys::stat::stat("/proc/self/ns/pid")?;
    Ok(match stat.st_ino {
        INITIAL_PID_NAMESPACE => (0, 0),
        inode => (stat.st_dev, inode),
    })
}

/// Bytes read of one text file under `/proc/PID` at most.
const PROC_FILE_MAX: u64 = 64 * 1024 * 1024;

/// Why a process cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("no process has the id {0}: check it with `ps`")]
    NotFound(u32),
    #[error("process {0} may not be looked at: run as root (sudo)")]
    Permission(u32),
    #[error("process {0} has ended and waits for its parent to notice (a zombie): nothing to trace")]
    Zombie(u32),
    #[error("process {0} is a kernel thread: it runs no program")]
    KernelThread(u32),
    #[error("cannot read {path}: {error}")]
    Proc { path: String, error: io::Error },
}

/// A process, by its id as this tool's own pid namespace counts.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    maps: Vec<Mapping>,
    memory: memory::ProcessMemory,
}

impl Process {
    /// Looks at a process: its mappings are read, its memory can be.
    pub fn open(pid: u32) -> Result<Self, ProcessError> {
        // Ids beyond the kernel's PID_MAX_LIMIT (2^22) must not turn into negative pid_t values.
        if pid == 0 || pid > 1 << 22 {
            return Err(ProcessError::NotFound(pid));
        }
        let memory = memory::ProcessMemory::new(pid);
        let mut process = Self {
            pid,
            maps: Vec::new(),
            memory,
        };
        process.refresh_maps()?;
        if process.maps.is_empty() {
            return Err(process.why_no_maps());
        }
        Ok(process)
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The mappings as of the last [`Self::refresh_maps`], by rising address.
    pub fn maps(&self) -> &[Mapping] {
        &self.maps
    }

    /// Reads the mappings again, after the process loaded or unloaded something.
    pub fn refresh_maps(&mut self) -> Result<(), ProcessError> {
        self.maps = maps::parse(&self.proc_file("maps")?);
        Ok(())
    }

    /// The mapping an address lies in, and the offset in the file it maps.
    pub fn locate(&self, addr: u64) -> Option<(&Mapping, u64)> {
        let after = self.maps.partition_point(|mapping| mapping.end <= addr);
        let mapping = self.maps.get(after)?;
        let into = addr.checked_sub(mapping.start)?;
        Some((mapping, mapping.offset.checked_add(into)?))
    }

    /// Is a file mapped whose name contains `part` (`"greenlet"`)?
    pub fn has_mapping_named(&self, part: &str) -> bool {
        self.maps.iter().any(|mapping| {
            mapping
                .path
                .as_ref()
                .and_then(|path| path.file_name())
                .is_some_and(|name| name.to_string_lossy().contains(part))
        })
    }

    /// Device and inode of the process's pid namespace, as `bpf_get_ns_current_pid_tgid` wants them.
    pub fn pid_namespace(&self) -> Result<(u64, u64), ProcessError> {
        let path = self.proc_path("ns/pid");
        let stat = nix::sys::stat::stat(&path).map_err(|errno| self.proc_error("ns/pid", errno.into()))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// `Seccomp:` of `/proc/PID/status`: 0 off, 1 strict, 2 filter. `None` where the kernel has no seccomp.
    pub fn seccomp_mode(&self) -> Option<u32> {
        self.status_field("Seccomp:")?.parse().ok()
    }

    /// Whether the processor keeps a second, shadow stack of its return addresses: `shstk` in `x86_Thread_features:` of
    /// `/proc/PID/status` (Linux 6.6+, Documentation/arch/x86/shstk.rst).
    pub fn has_shadow_stack(&self) -> bool {
        self.status_field("x86_Thread_features:")
            .is_some_and(|features| names_shadow_stack(&features))
    }

    /// Whether the program was started with that `NAME=value` in its environment.
    pub fn was_started_with(&self, variable: &[u8]) -> bool {
        let environment = self.proc_file("environ").unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|one| one == variable)
    }

    /// The name of one of its threads (`comm`). `None`: there is no such thread, or the process is in another pid
    /// namespace, where thread ids are others.
    pub fn thread_name(&self, tid: u32) -> Option<String> {
        let own = nix::sys::stat::stat("/proc/self/ns/pid").ok()?;
        if self.pid_namespace().ok()? != (own.st_dev, own.st_ino) {
            return None;
        }
        let name = fs::read(self.proc_path(&format!("task/{tid}/comm"))).ok()?;
        Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
    }

    /// Ids of its threads as it sees them itself: the last of `NSpid:` of each thread.
    pub fn threads(&self) -> Vec<u32> {
        let Ok(tasks) = fs::read_dir(self.proc_path("task")) else {
            return Vec::new();
        };
        let id = |task: fs::DirEntry| {
            let status = fs::read_to_string(task.path().join("status")).ok()?;
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
            ids.split_whitespace().last()?.parse().ok()
        };
        tasks.flatten().filter_map(id).collect()
    }

    /// Whether a process was forked and has not begun another program since: `PF_FORKNOEXEC` (include/linux/sched.h) among the
    /// flags in `/proc/PID/stat` (proc_pid_stat(5)).
    pub fn is_forked_copy(pid: u32) -> bool {
        const PF_FORKNOEXEC: u32 = 0x40;
        const FLAGS: usize = 6;
        let flags = stat(pid).and_then(|stat| field(&stat, FLAGS));
        flags.is_some_and(|flags| flags & u64::from(PF_FORKNOEXEC) != 0)
    }

    /// Whether the process is stopped by a signal.
    pub fn is_stopped(&self) -> bool {
        self.status_field("State:")
            .is_some_and(|state| state.starts_with('T'))
    }

    /// The program's path as the process sees it.
    pub fn executable(&self) -> Option<PathBuf> {
        fs::read_link(self.proc_path("exe")).ok()
    }

    /// A path under `/proc/PID`.
    pub fn proc_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    fn proc_file(&self, name: &str) -> Result<Vec<u8>, ProcessError> {
        let mut bytes = Vec::new();
        fs::File::open(self.proc_path(name))
            .and_then(|file| file.take(PROC_FILE_MAX).read_to_end(&mut bytes))
            .map_err(|error| self.proc_error(name, error))?;
        Ok(bytes)
    }

    fn proc_error(&self, name: &str, error: io::Error) -> ProcessError {
        match error.raw_os_error() {
            // ESRCH: it ended between open and read.
            Some(libc::ENOENT | libc::ESRCH) if !self.proc_path("").exists() => {
                ProcessError::NotFound(self.pid)
            }
            Some(libc::EACCES | libc::EPERM) => ProcessError::Permission(self.pid),
            _ => ProcessError::Proc {
                path: self.proc_path(name).display().to_string(),
                error,
            },
        }
    }

    /// Value of a `Name:` line of `/proc/PID/status`.
    fn status_field(&self, name: &str) -> Option<String> {
        let status = self.proc_file("status").ok()?;
        String::from_utf8_lossy(&status)
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
    }

    fn why_no_maps(&self) -> ProcessError {
        match self.status_field("State:") {
            None => ProcessError::NotFound(self.pid),
            Some(state) if state.starts_with(['Z', 'X']) => ProcessError::Zombie(self.pid),
            Some(_) => ProcessError::KernelThread(self.pid),
        }
    }
}

impl ReadMemory for Process {
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        self.memory.read(addr, out)
    }
}

/// When a process began, in clock ticks since the machine did (`starttime` of `/proc/PID/stat`, proc_pid_stat(5)); with its id it says which
/// process is meant. `None`: there is none, or it has ended and waits for its parent to notice.
pub fn began(pid: u32) -> Option<u64> {
    const STARTTIME: usize = 19;
    let stat = stat(pid)?;
    let has_ended = stat.trim_start().starts_with(['Z', 'X']);
    field(&stat, STARTTIME).filter(|_| !has_ended)
}

/// `/proc/PID/stat` from behind the name, which, in parentheses, may hold anything.
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')').map(|(_, fields)| fields.to_owned())
}

fn field(stat: &str, field: usize) -> Option<u64> {
    stat.split_whitespace().nth(field)?.parse().ok()
}

/// Whether the shadow stack is among features that the kernel lists.
fn names_shadow_stack(features: &str) -> bool {
    features.split_whitespace().any(|feature| feature == "shstk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shadow_stacks_are_told_by_the_features_of_the_thread() {
        assert!(names_shadow_stack("shstk wrss "));
        assert!(names_shadow_stack("shstk"));
        assert!(!names_shadow_stack(""));
        assert!(!names_shadow_stack("wrss"));
        assert!(!Process::open(std::process::id()).unwrap().has_shadow_stack());
    }

    #[test]
    fn own_memory_reads_back() {
        let process = Process::open(std::process::id()).unwrap();
        let text = *b"pytrace\0";
        let addr = text.as_ptr() as u64;
        assert_eq!(process.read_u64(addr).unwrap(), u64::from_le_bytes(text));
        assert_eq!(process.read_cstr(addr, 64).unwrap(), b"pytrace");
        assert!(process.read_u64(8).is_err());
        assert!(process.read_u64(u64::MAX - 3).is_err());
    }

    #[test]
    fn own_code_is_located_in_a_file() {
        let process = Process::open(std::process::id()).unwrap();
        let function: fn(&Process) -> u32 = Process::pid;
        let (mapping, offset) = process.locate(function as usize as u64).unwrap();
        assert!(mapping.executable() && mapping.is_file());
        assert!(offset >= mapping.offset);
        process.open_mapping(mapping).unwrap();
    }

    #[test]
    fn errors_say_what_to_do() {
        let error = Process::open(u32::MAX).unwrap_err().to_string();
        assert!(error.contains("no process"), "{error}");
        // Thread 2 of every Linux system is kthreadd; containers do not show it.
        if let Err(error) = Process::open(2) {
            assert!(!error.to_string().contains('\n'));
        }
    }
}
