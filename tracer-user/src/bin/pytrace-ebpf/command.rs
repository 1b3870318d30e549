//! The program that `run` starts: held until the tracer is ready, then left alone.

use std::{
    ffi::OsString,
    io::Read as _,
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};

use anyhow::{Context as _, bail};
use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::{AccessFlags, Pid, access, pipe2},
};
use tracer_user::{
    attach::Readiness,
    process::{self, StartedWith},
};

/// Passed on to the program when a process sends them to the tracer.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// The program, started.
pub struct Launched {
    child: Child,
    /// It waits for a byte from here before it becomes the program.
    gate: Option<OwnedFd>,
    ended: Readiness,
    has_ended: bool,
    signals: SignalFd,
    signalled: Readiness,
}

impl Launched {
    /// Starts it as far as it can be without becoming the program. Call inside a runtime, before there is a second
    /// thread: signals are blocked for the threads that come.
    pub fn start(command: &[OsString]) -> anyhow::Result<Self> {
        let name = command.first().context("no command")?;
        find(Path::new(name))?;
        process::wait_for_children();
        let (wait, gate) = pipe2(OFlag::O_CLOEXEC)?;
        fcntl(&wait, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let started = StartedWith::this_program().to_string();
        let mut begin = Command::new("/proc/self/exe");
        begin
            .args(["begin", &wait.as_raw_fd().to_string(), &started, "--"])
            .args(command);
        let child = process::by_fork(&mut begin)
            .spawn()
            .context("cannot start a process")?;
        drop(wait);
        let signals = PASSED_ON.into_iter().collect::<SigSet>();
        signals.thread_block()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let signalled = Readiness::new(signals.as_fd().try_clone_to_owned()?)?;
        Ok(Self {
            ended: Readiness::new(process::pidfd(child.id())?)?,
            child,
            gate: Some(gate),
            has_ended: false,
            signals,
            signalled,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it become the program.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if let Some(gate) = self.gate.take() {
            nix::unistd::write(&gate, b"!").context("the process that was to become the program is gone")?;
        }
        Ok(())
    }

    /// Waits for its end, and passes signals on to it meanwhile. Those a terminal sends it gets by itself.
    pub async fn wait(&mut self) -> std::io::Result<()> {
        while !self.has_ended {
            tokio::select! {
                ended = self.ended.readable() => {
                    ended?;
                    self.has_ended = true;
                    return Ok(());
                }
                signalled = self.signalled.readable() => signalled?,
            }
            while let Some(info) = self.signals.read_signal()? {
                // siginfo's si_code: above 0 the kernel sent it.
                if info.ssi_code <= 0
                    && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
                {
                    let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
                }
            }
        }
        Ok(())
    }

    /// Its exit code as a shell tells it: 128 and the signal's number where one killed it.
    pub fn exit_code(&mut self) -> anyhow::Result<u8> {
        Ok(code(self.child.wait()?))
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        // Where it never began, the closed gate ends it.
        if self.gate.take().is_some() {
            let _ = self.child.wait();
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code as u8,
        (None, signal) => 128u8.wrapping_add(signal.unwrap_or(0) as u8),
    }
}

/// Looks the program up as exec will, so that a slip is told before anything is set up.
fn find(name: &Path) -> anyhow::Result<()> {
    let runs = |path: &Path| path.is_file() && access(path, AccessFlags::X_OK).is_ok();
    if name.components().count() > 1 || name.is_absolute() {
        if runs(name) {
            return Ok(());
        }
        bail!(
            "cannot run {}: it is not a file that can be executed",
            name.display()
        );
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths)
        .map(|folder: PathBuf| folder.join(name))
        .any(|path| runs(&path));
    if !found {
        bail!("cannot run {}: no such program in PATH", name.display());
    }
    Ok(())
}

/// What the process started by [`Launched::start`] does: waits for the gate, becomes the program.
pub fn begin(gate: RawFd, started: StartedWith, command: &[OsString]) -> anyhow::Result<()> {
    let mut file = std::fs::File::from(process::inherited(gate)?);
    process::close_on_exec(gate)?;
    let mut byte = [0];
    if file.read(&mut byte)? == 0 {
        // The tracer gave up, and says why itself.
        std::process::exit(1);
    }
    let (name, arguments) = command.split_first().context("no command")?;
    let mut program = Command::new(name);
    let error = started.pass_on(program.args(arguments)).exec();
    Err(anyhow::Error::new(error).context(format!("cannot run {}", Path::new(name).display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_a_shells() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn programs_are_found_as_exec_finds_them() {
        assert!(find(Path::new("sh")).is_ok());
        assert!(find(Path::new("/bin/sh")).is_ok());
        assert!(find(Path::new("no-such-program-here")).is_err());
        assert!(find(Path::new("/etc/passwd")).is_err());
    }
}
