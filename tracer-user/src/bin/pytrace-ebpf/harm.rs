//! When a return probe could harm the process.
//!
//! A return probe replaces a return address on the C stack. That kills programs that switch C stacks
//! (greenlet) inside the probed function, and, on some kernels, programs whose strict seccomp
//! filter does not know the uretprobe system call (CVE-2025-21834).

use anyhow::bail;
use tracer_user::{decode::pair::STACK_SWITCHES, process::Process};

/// No function gets one.
const SECCOMP: &str = "seccomp and this kernel: a return probe could end the process (CVE-2025-21834)";

/// `SECCOMP_MODE_DISABLED` of `Seccomp:` in `/proc/PID/status`.
const SECCOMP_DISABLED: u32 = 0;

/// Refuses a process in which even probes at entries may do harm: an emulated `call` and a replaced return address are not
/// in its shadow stack on kernels that do not know better (`branch_emulate_op`, arch/x86/kernel/uprobes.c; newer ones have
/// `shstk_push`, `shstk_update_last_frame`), and the processor then ends the process. No machine that has them was here to try.
pub fn check(process: &Process) -> anyhow::Result<()> {
    if process.has_shadow_stack() {
        bail!(
            "process {} has a shadow stack (x86_Thread_features: shstk), where probes can end it on some kernels, which was not \
             tried: start it without (GLIBC_TUNABLES=glibc.cpu.x86_shstk=off)",
            process.pid()
        );
    }
    Ok(())
}

/// What is allowed in one process.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    switches_stacks: bool,
    seccomp: bool,
}

impl Policy {
    /// Looks at the process and the kernel.
    pub fn of(process: &Process) -> anyhow::Result<Self> {
        let release = nix::sys::utsname::uname()?;
        let kernel = version(&release.release().to_string_lossy());
        let filtered = process
            .seccomp_mode()
            .is_some_and(|mode| mode != SECCOMP_DISABLED);
        Ok(Self {
            switches_stacks: process.has_mapping_named("greenlet"),
            seccomp: filtered && kernel.is_none_or(refuses_uretprobe),
        })
    }

    /// Whether the process switches C stacks.
    pub fn switches_stacks(self) -> bool {
        self.switches_stacks
    }

    /// Why a function gets no return probe, if so. `leaf`: no Python code runs inside it.
    pub fn no_return(self, leaf: bool) -> Option<&'static str> {
        if self.seccomp {
            Some(SECCOMP)
        } else if self.switches_stacks && !leaf {
            Some(STACK_SWITCHES)
        } else {
            None
        }
    }
}

/// 6.11 to 6.12.13 and 6.13 to 6.13.2.
fn refuses_uretprobe(kernel: (u32, u32, u32)) -> bool {
    ((6, 11, 0)..=(6, 12, 13)).contains(&kernel) || ((6, 13, 0)..=(6, 13, 2)).contains(&kernel)
}

/// The three numbers a release string starts with.
fn version(release: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().ok());
    Some((
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_of_the_cve_are_refused() {
        for (release, refused) in [
            ("6.10.14-amd64", false),
            ("6.11.0", true),
            ("6.12.13+deb13-amd64", true),
            ("6.12.14", false),
            ("6.13.2", true),
            ("6.13.3", false),
            ("6.18.44-fc-v657", false),
        ] {
            assert_eq!(
                version(release).map(refuses_uretprobe),
                Some(refused),
                "{release}"
            );
        }
    }
}
