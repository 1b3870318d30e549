//! Why the kernel does not let us trace, and what to do about it.

use std::fs;

use anyhow::anyhow;
use nix::{errno::Errno, unistd::geteuid};
use tracer_user::attach::{Kernel, KernelError, KernelOptions};

/// Bits of `CapEff:` (`linux/capability.h`).
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// Loads the kernel half; an error is one line, with the remedy where it is known.
pub fn load(options: KernelOptions) -> anyhow::Result<Kernel> {
    Kernel::load(options).map_err(|error| {
        let text = error.to_string();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default().to_owned();
        // The verifier's explanation.
        for line in lines {
            log::info!("{line}");
        }
        match remedy(&error) {
            Some(remedy) => anyhow!("{first}; {remedy}"),
            None => anyhow!(first),
        }
    })
}

/// What to do about it.
fn remedy(error: &KernelError) -> Option<String> {
    match errno(error)? {
        Errno::EPERM | Errno::EACCES => Some(forbidden()),
        // The kernel does not know such programs.
        Errno::EINVAL => Some("this needs Linux 6.0 or newer (uprobe programs that may sleep)".into()),
        Errno::ENOSYS => Some("this kernel was built without bpf (CONFIG_BPF_SYSCALL)".into()),
        Errno::ENOMEM => {
            Some("memory is short, or RLIMIT_MEMLOCK (ulimit -l) too low; a smaller --ring helps".into())
        }
        _ => None,
    }
}

/// The system's error at the bottom of it.
fn errno(error: &KernelError) -> Option<Errno> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error)
        {
            return Some(Errno::from_raw(code));
        }
        cause = error.source();
    }
    None
}

/// Why bpf(2) is forbidden.
fn forbidden() -> String {
    if !geteuid().is_root() && !may_bpf() {
        return "run it as root (sudo)".into();
    }
    if let Some(mode) = lockdown().filter(|mode| mode == "confidentiality") {
        return format!("the kernel is locked down ({mode}): boot with lockdown=integrity or without");
    }
    if !may_bpf() {
        return "root without the capability: in a container, start it with --privileged, or with --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE".into();
    }
    if status_field("Seccomp:").is_some_and(|mode| mode != "0") {
        return "a seccomp filter forbids bpf: in a container, start it with --security-opt seccomp=unconfined, or run the tool on the host".into();
    }
    "something else forbids bpf (an LSM such as SELinux, or a user namespace): run the tool on the host, as root".into()
}

/// Whether this process has the capabilities that BPF programs with probes need.
pub fn may_bpf() -> bool {
    let mask = status_field("CapEff:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    mask.is_some_and(|mask| {
        let has = |bit: u32| mask >> bit & 1 == 1;
        has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON)
    })
}

/// The kernel's lockdown: `none`, `integrity` or `confidentiality`; `None` where it has no such thing.
pub fn lockdown() -> Option<String> {
    let modes = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, chosen) = modes.split_once('[')?;
    Some(chosen.split_once(']')?.0.to_owned())
}

fn status_field(name: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().to_owned())
}
