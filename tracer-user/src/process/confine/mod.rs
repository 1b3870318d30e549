//! What this program itself may not do any more, by a seccomp filter: system calls that it does not need fail with EPERM.
//!
//! A list of what is denied, not of what is allowed: which calls the libraries below this program make changes with their versions and
//! with the machine (vDSO, allocator, threads), and a call that was forgotten would break a trace that somebody needs. What could do
//! harm is known, and is denied; the capabilities that the tool keeps bound the rest.

mod denied;

use std::{collections::BTreeMap, io};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads, sock_filter,
};
use thiserror::Error;

use denied::{Denied, EVER, TRACING, When};

/// Why nothing is denied.
#[derive(Debug, Error)]
pub enum ConfineError {
    #[error("the filter of system calls cannot be made: {0}")]
    Filter(#[from] BackendError),
    #[error("the kernel takes no filter of system calls: {0}")]
    Refused(#[from] seccompiler::Error),
}

/// How far a trace is.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// Before anything is read of another process.
    Begins,
    /// The output is open, programs are loaded, and what is started is started.
    Traces,
}

/// Denies what is not needed from that stage on, to all threads and whatever they start, for good. Says whether it did: false where the
/// kernel has no seccomp.
///
/// # Errors
///
/// The kernel has it and takes the filter not.
pub fn confine(stage: Stage) -> Result<bool, ConfineError> {
    let denied = match stage {
        Stage::Begins => EVER,
        Stage::Traces => TRACING,
    };
    match apply_filter_all_threads(&filter(&denied, libc::EPERM as u32)?) {
        Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error)) if is_missing(&error) => {
            Ok(false)
        }
        applied => Ok(applied.map(|()| true)?),
    }
}

/// As the kernel answers where it was built without (seccomp(2), `CONFIG_SECCOMP_FILTER`).
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// A filter that answers with that error. What asks in the way of 32-bit programs is ended (`seccompiler` knows no other answer).
fn filter(denied: &Denied, errno: u32) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for number in denied.always {
        rules.insert(*number, Vec::new());
    }
    for (number, when) in denied.by_argument {
        let rule = SeccompRule::new(vec![condition(*when)?])?;
        rules.entry(*number).or_default().push(rule);
    }
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        TargetArch::x86_64,
    )?;
    let mut program = no_x32(errno);
    program.extend(BpfProgram::try_from(filter)?);
    Ok(program)
}

fn condition(when: When) -> Result<SeccompCondition, BackendError> {
    let (argument, operator, value) = match when {
        When::Has(argument, bits) => (argument, SeccompCmpOp::MaskedEq(bits.into()), bits),
        When::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
        When::IsNot(argument, value) => (argument, SeccompCmpOp::Ne, value),
    };
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value.into())
}

/// All system calls have a second number, with this bit, on kernels that know the x32 ABI (`__X32_SYSCALL_BIT`,
/// arch/x86/include/uapi/asm/unistd.h): a list of what is denied has to deny all of those.
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// The instructions before all others that see to that; the other ones jump by distances.
fn no_x32(errno: u32) -> BpfProgram {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_GREATER_OR_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let instruction = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        // `nr`, the first field of `struct seccomp_data`.
        instruction(LOAD, 0, 0),
        instruction(JUMP_GREATER_OR_EQUAL, 1, X32_SYSCALL_BIT),
        instruction(RETURN, 0, libc::SECCOMP_RET_ERRNO | errno),
    ]
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use seccompiler::apply_filter;

    use super::*;

    /// No error that a system call has.
    const MARK: i32 = 1234;

    /// What a system call with arguments that mean nothing gives, but for one.
    fn error_of(number: i64, argument: Option<(u8, u32)>) -> Option<i32> {
        let mut arguments = [-1_i64; 6];
        if let Some((which, value)) = argument {
            arguments[usize::from(which)] = value.into();
        }
        let [a, b, c, d, e, f] = arguments;
        // SAFETY: no pointer among the arguments can be followed (-1 is no address), no descriptor is open, no id exists: also
        // where no filter does, the kernel refuses each of these calls, or only tells what is set (personality, setfsuid).
        let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        (result == -1)
            .then(|| io::Error::last_os_error().raw_os_error())
            .flatten()
    }

    /// In a thread of its own, which alone has the filter.
    fn confined(denied: &'static Denied, work: impl FnOnce() + Send + 'static) {
        let thread = thread::spawn(move || {
            let filter = filter(denied, MARK as u32).expect("it can be made");
            apply_filter(&filter).expect("this kernel has seccomp");
            work();
        });
        thread.join().expect("what it asserts holds");
    }

    fn all_are_denied(denied: &'static Denied) {
        confined(denied, || {
            for number in denied.always {
                assert_eq!(error_of(*number, None), Some(MARK), "{number}");
                let x32 = number | i64::from(X32_SYSCALL_BIT);
                assert_eq!(error_of(x32, None), Some(MARK), "{number} by x32");
            }
            for (number, when) in denied.by_argument {
                let (denied, allowed) = match *when {
                    When::Has(which, bits) => ((which, bits), (which, 0)),
                    When::Is(which, value) => ((which, value), (which, u32::MAX)),
                    When::IsNot(which, value) => ((which, value + 1), (which, value)),
                };
                assert_eq!(error_of(*number, Some(denied)), Some(MARK), "{number} {when:?}");
                assert_ne!(error_of(*number, Some(allowed)), Some(MARK), "{number} {when:?}");
            }
        });
    }

    #[test]
    fn each_call_that_is_never_needed_is_denied() {
        all_are_denied(&EVER);
    }

    #[test]
    fn each_call_that_tracing_does_not_need_is_denied() {
        all_are_denied(&TRACING);
    }

    #[test]
    fn files_are_read_and_not_written() {
        let folder = std::env::temp_dir().join(format!("pytrace-confine-{}", std::process::id()));
        fs::create_dir(&folder).expect("it can be made");
        let path = folder.join("there");
        fs::write(&path, "as it was").expect("it can be written");
        let (inside, other) = (path.clone(), folder.join("other"));
        confined(&TRACING, move || {
            let denied = |result: io::Result<()>| {
                assert_eq!(result.expect_err("it is denied").raw_os_error(), Some(MARK));
            };
            denied(fs::write(&inside, "something else"));
            denied(fs::write(&other, "new"));
            denied(fs::File::options().append(true).open(&inside).map(drop));
            denied(fs::rename(&inside, &other));
            denied(fs::remove_file(&inside));
            denied(std::process::Command::new("/bin/true").status().map(drop));
            assert_eq!(fs::read_to_string(&inside).expect("it can be read"), "as it was");
            thread::spawn(|| ()).join().expect("threads can be started");
        });
        assert_eq!(fs::read_to_string(&path).expect("it can be read"), "as it was");
        fs::remove_dir_all(folder).expect("it can be removed");
    }

    /// Those of each stage, from what the kernel says of this thread.
    #[test]
    fn the_kernel_says_so() {
        confined(&EVER, || {
            let status = fs::read_to_string("/proc/thread-self/status").expect("it is there");
            for line in ["NoNewPrivs:\t1\n", "Seccomp:\t2\n"] {
                assert!(status.contains(line), "{status}");
            }
        });
    }
}
