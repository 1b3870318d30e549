//! Things that appear later: the program that `run` starts, modules that are imported, children.
//!
//! Where something new is about to run, a probe stops the process (SIGSTOP, sent in the kernel by the process to
//! itself), the daemon puts its probes in and lets it go on (SIGCONT). So nothing is missed, however
//! long the daemon takes.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tracer_common::{
    load::{LoadCookie, Module},
    watch::{self, Happening, Text, WatchCookie},
};
use tracer_user::{
    attach::{Kernel, Link, Point, Probe, Watch},
    cpython::{
        InterpreterError,
        start::{Code, ProgramKind, START},
    },
    process::{self, Process},
    sink::ProcessChange,
};

use crate::{
    agent::orders::{Said, push_said},
    guard::Guard,
    report::monotonic_ns,
    session::Session,
    target::Traced,
};

/// Executable mappings in which an interpreter is looked for.
const MAX_FILES: usize = 1024;

/// What is watched.
pub struct Watching {
    watch: Watch,
    /// Stop processes where modules were loaded.
    hold: bool,
    follow: bool,
    /// Which program any process begins is told, and that is all.
    all: bool,
    /// Probes in programs that have not begun their own code yet.
    starting: HashMap<u32, Vec<Link>>,
    _guard: Option<Guard>,
}

/// What is to be watched.
#[derive(Clone, Copy, Debug)]
pub struct What {
    /// The tool started the program and may make it wait.
    pub hold: bool,
    /// Children too.
    pub follow: bool,
    /// There will be probes, of which forked children have copies.
    pub probes: bool,
    /// All processes that begin a program, which do not wait.
    pub all: bool,
}

impl Watching {
    pub fn new(kernel: &mut Kernel, what: What) -> anyhow::Result<Self> {
        let What {
            hold,
            follow,
            probes,
            all,
        } = what;
        let mut watch = Watch::new(kernel)?;
        let mut guard = None;
        if hold || follow {
            if !process::in_initial_pid_namespace()? {
                anyhow::bail!(
                    "`run` and `--follow` need the host's process ids: start the tool outside of the container \
                     (or with its --pid=host)"
                );
            }
            guard = Some(Guard::start(&watch)?);
            watch.programs(kernel)?;
        }
        // The kernel tells of processes by the host's ids: elsewhere these would be others.
        if !(hold || follow) && process::in_initial_pid_namespace()? {
            if let Err(error) = watch.told_programs(kernel, all) {
                log::warn!("it is not noticed if a process begins another program: {error}");
            }
        } else if all {
            anyhow::bail!(
                "the agent needs the host's process ids: start it outside of the container (or with its --pid=host)"
            );
        }
        if follow || probes {
            match watch.children(kernel, follow) {
                Err(error) if follow => return Err(error.into()),
                Err(error) => log::warn!("forked children keep the breakpoints until tracing ends: {error}"),
                Ok(()) => {}
            }
        }
        Ok(Self {
            watch,
            hold,
            follow,
            all,
            starting: HashMap::new(),
            _guard: guard,
        })
    }

    /// Follows a process: the programs it begins, and its children.
    pub fn follow(&mut self, pid: u32) -> anyhow::Result<()> {
        Ok(self.watch.follow(pid)?)
    }

    /// Waits until something happened.
    pub async fn readable(&self) -> std::io::Result<()> {
        self.watch.readable().await
    }

    /// The next thing that happened, if any.
    pub fn take(&mut self) -> Option<Happening> {
        self.watch.take()
    }

    /// Whether followed processes are alive that may still begin Python.
    pub fn forget_ended(&mut self) -> bool {
        let mut alive = false;
        for pid in self.watch.followed() {
            if Path::new(&format!("/proc/{pid}")).exists() {
                alive = true;
            } else {
                self.ended(pid);
            }
        }
        alive
    }

    /// A process ended.
    pub fn ended(&mut self, pid: u32) {
        self.watch.forget(pid);
        self.drop_later(pid);
    }

    fn drop_later(&mut self, pid: u32) {
        if let Some(links) = self.starting.remove(&pid) {
            // Taking probes out waits for the kernel; nobody waits for this.
            thread::spawn(move || drop(links));
        }
    }

    /// Does what is to be done, and lets the process go on. True: a process is traced that was not.
    pub fn happened(&mut self, session: &mut Session, what: Happening) -> bool {
        if what.held == 0 && matches!(what.what, watch::BEGINS | watch::FORKED) {
            log::warn!(
                "process {} runs on while probes are put in, its first calls may be missed: it would have been \
                 noticed that it was stopped (it handles SIGCONT, or is a job of a shell)",
                what.pid
            );
        }
        let done = match what.what {
            watch::EXEC => self.program(session, what),
            watch::LINKED => self.linked(session, what),
            watch::BEGINS => self.begins(session, what),
            watch::LOADED => self.loaded(session, what),
            watch::FORKED => self.forked(session, what),
            _ => Ok(false),
        };
        if what.held != 0 && self.watch.is_last_stop(&what) {
            let _ = kill(Pid::from_raw(what.pid as i32), Signal::SIGCONT);
        }
        done.unwrap_or_else(|error| {
            // A process that is gone, or only waits for its parent to notice, needs no message.
            if Process::open(what.pid).is_ok() {
                log::warn!("process {} is not traced: {error:#}", what.pid);
            }
            false
        })
    }

    /// A process begins a program.
    fn program(&mut self, session: &mut Session, what: Happening) -> anyhow::Result<bool> {
        let pid = what.pid;
        session.ended(pid, true);
        if self.all {
            self.watch.forget(pid);
            session.write(|out| push_said(&Said::Begins { pid }, out));
            return Ok(false);
        }
        self.drop_later(pid);
        if !(self.hold || self.follow) {
            self.watch.forget(pid);
            log::warn!("process {pid} runs another program, which is not traced; --follow does");
        }
        let exe = PathBuf::from(format!("/proc/{pid}/exe"));
        session.event(
            pid,
            &ProcessChange::Exec {
                executable: std::fs::read_link(&exe).unwrap_or_default().display().to_string(),
                parent: (what.parent != 0).then_some(what.parent),
            },
        );
        if !(self.hold || self.follow) {
            return Ok(false);
        }
        let Some(code) = File::open(&exe).ok().and_then(Code::of) else {
            return Ok(false);
        };
        match code.kind() {
            ProgramKind::Interpreter => self.await_start(session, pid, &code, &exe)?,
            ProgramKind::NeedsLibrary(entry) => {
                let cookie = WatchCookie {
                    what: watch::LINKED,
                    stop: true,
                    text: Text::Any,
                    followed: false,
                };
                let link = probe(session, Probe::Entry, &exe, &[(entry, cookie)], pid)?;
                self.starting.entry(pid).or_default().push(link);
            }
            ProgramKind::Other => {}
        }
        Ok(false)
    }

    /// Its libraries are there: one of them is to be the interpreter.
    fn linked(&mut self, session: &mut Session, what: Happening) -> anyhow::Result<bool> {
        let process = Process::open(what.pid)?;
        self.drop_later(what.pid);
        let code = process.maps().iter();
        let code = code.filter(|mapping| mapping.executable() && mapping.is_file());
        for mapping in code.take(MAX_FILES) {
            let Some(code) = process.open_mapping(mapping).ok().and_then(Code::of) else {
                continue;
            };
            if code.kind() == ProgramKind::Interpreter {
                self.await_start(session, what.pid, &code, &process.mapping_link(mapping))?;
            }
        }
        Ok(false)
    }

    /// Stops the process where it is about to run the program's own code.
    fn await_start(&mut self, session: &Session, pid: u32, code: &Code, path: &Path) -> anyhow::Result<()> {
        let symbols = START.map(|function| function.symbol);
        let points: Vec<(u64, WatchCookie)> = code
            .offsets(&symbols)
            .into_iter()
            .map(|(symbol, offset)| {
                let cookie = WatchCookie {
                    what: watch::BEGINS,
                    stop: true,
                    text: START
                        .iter()
                        .find(|start| start.symbol == symbol)
                        .map_or(Text::Any, |start| start.text),
                    followed: false,
                };
                (offset, cookie)
            })
            .collect();
        let link = probe(session, Probe::Entry, path, &points, pid)?;
        self.starting.entry(pid).or_default().push(link);
        Ok(())
    }

    /// Python is about to run the program's own code.
    fn begins(&mut self, session: &mut Session, what: Happening) -> anyhow::Result<bool> {
        if session.is_traced(what.pid) {
            return Ok(false);
        }
        let before = Instant::now();
        let traced = match Traced::find(what.pid, session.wanted()) {
            // A program that embeds Python may run code before all of it is there.
            Err(error) if matches!(error.downcast_ref(), Some(InterpreterError::NotInitialised(_))) => {
                return Ok(false);
            }
            found => found,
        };
        self.drop_later(what.pid);
        let info = session.admit(traced?)?;
        self.trace(session, what.pid)?;
        session.warn_refused(what.pid);
        log::info!("process {} waited {:?} at its start", what.pid, before.elapsed());
        session.start(std::slice::from_ref(&info));
        Ok(true)
    }

    /// A module was loaded.
    fn loaded(&mut self, session: &mut Session, what: Happening) -> anyhow::Result<bool> {
        let Some(found) = session.rescan(what.pid)? else {
            return Ok(false);
        };
        let gap_ns = monotonic_ns().saturating_sub(what.time_ns);
        log::info!(
            "process {}: {} functions more, {}us after a module was loaded",
            what.pid,
            found.functions,
            gap_ns / 1000
        );
        if found.functions != 0 {
            let change = ProcessChange::Load {
                files: found.files,
                functions: found.functions,
                gap_ns: if what.held == 0 { gap_ns } else { 0 },
            };
            session.event(what.pid, &change);
        }
        Ok(false)
    }

    /// A forked child is about to run on.
    fn forked(&mut self, session: &mut Session, what: Happening) -> anyhow::Result<bool> {
        if session.is_traced(what.pid) || !session.admit_fork(what.parent, what.pid)? {
            return Ok(false);
        }
        session.event(what.pid, &ProcessChange::Fork { parent: what.parent });
        self.trace(session, what.pid)?;
        Ok(true)
    }

    /// Traces a process that the session has admitted. It is watched first: so greenlet does not come unseen between the
    /// look at the process and the return probes.
    pub fn trace(&self, session: &mut Session, pid: u32) -> anyhow::Result<()> {
        self.watch_process(session, pid);
        session.attach(pid)
    }

    /// Puts the probes in that watch a traced process. Where one cannot be, that is said: the trace goes on
    /// without.
    fn watch_process(&self, session: &mut Session, pid: u32) {
        let Some((traced, process, index, switches)) = session.first_part(pid) else {
            return;
        };
        if session.wanted().is_nothing() {
            // What modules bring is not looked for.
        } else if switches {
            log::warn!("modules that process {pid} imports from now on are not traced: greenlet is loaded");
        } else {
            let places = traced.load_points(&process);
            if places.is_empty() {
                warn(pid, "later modules", "no place to watch was found");
            }
            for (path, offset, module) in places {
                match session.watch_shared(pid, path.clone(), offset, module) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        warn(pid, "later modules", &format!("{error:#}"));
                        continue;
                    }
                }
                match self.watch_loads(session, index, &path, (offset, module), pid) {
                    Ok(link) => session.keep_loads(pid, link),
                    Err(error) => warn(pid, "later modules", &format!("{error:#}")),
                }
            }
        }
        if self.follow {
            let place = traced.fork_point(&process).context("no place to watch was found");
            let cookie = WatchCookie {
                what: watch::FORKED,
                stop: true,
                text: Text::Any,
                followed: true,
            };
            // The child's id is not known before it runs, so this one is in every process of that file; the
            // kernel half looks whether the process is a followed one's child.
            let link =
                place.and_then(|(path, offset)| probe(session, Probe::Entry, &path, &[(offset, cookie)], 0));
            match link {
                Ok(link) => session.keep(pid, link),
                Err(error) => warn(pid, "children", &format!("{error:#}")),
            }
        }
    }

    /// Tells of modules that are loaded, by a probe at that place.
    fn watch_loads(
        &self,
        session: &Session,
        index: u8,
        path: &Path,
        (offset, module): (u64, Module),
        pid: u32,
    ) -> anyhow::Result<Link> {
        let Some(program) = session.kernel.loads() else {
            let cookie = WatchCookie {
                what: watch::LOADED,
                stop: self.hold,
                text: Text::Any,
                followed: false,
            };
            return probe(session, Probe::Return, path, &[(offset, cookie)], pid);
        };
        let cookie = LoadCookie {
            target: index,
            stop: self.hold,
            module,
        };
        let point = Point {
            offset,
            cookie: cookie.pack(),
        };
        Link::attach(program, Probe::Session, path, &[point], pid).context("cannot watch it")
    }
}

/// Says what is not seen. Of a process that has ended whoever puts the probes in says that.
fn warn(pid: u32, what: &str, why: &str) {
    if Process::open(pid).is_ok() {
        log::warn!("{what} of process {pid} are not traced: {why}");
    }
}

/// Puts probes that watch into a file; `pid` 0: for every process.
fn probe(
    session: &Session,
    kind: Probe,
    path: &Path,
    points: &[(u64, WatchCookie)],
    pid: u32,
) -> anyhow::Result<Link> {
    let points: Vec<Point> = points
        .iter()
        .map(|(offset, cookie)| Point {
            offset: *offset,
            cookie: cookie.pack(),
        })
        .collect();
    Link::attach(session.kernel.watch(), kind, path, &points, pid).context("cannot watch it")
}
