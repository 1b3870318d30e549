//! `pytrace-ebpf top`: what processes do now, on the terminal.
//!
//! Calls are added up by `pytrace-ebpf stat`, which is started as a program of its own and says what came since the last time, as JSON. So
//! what runs as root beside the traced processes is what always does, with its filter of system calls, and what draws has no probe
//! in any process. The values of one call site come from a second one, while it is looked at.

mod feed;
mod keys;
mod model;
mod view;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use self::{
    feed::Line,
    keys::Act,
    model::{Model, Site, Wanted},
};
use crate::{Usage, cli::TopArgs};

/// How long a tracer may take to detach before it is left to itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that one look at a call site takes at most, and the rest between two looks: a hot one is not traced all the time.
const LOOK: &str = "200";
const REST: Duration = Duration::from_secs(1);
/// How long an event may wait to be drawn.
const BREATH: Duration = Duration::from_millis(100);

/// A tracer.
struct Tracer {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    /// Both have ended.
    ended: [bool; 2],
}

/// What a tracer says.
enum Said {
    Out(String),
    Err(String),
    /// Nothing more.
    End,
}

impl Tracer {
    fn start(args: &[OsString]) -> anyhow::Result<Self> {
        let tool = std::env::current_exe().context("the tool itself")?;
        let mut child = Command::new(tool)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting the tracer")?;
        let stdout = child.stdout.take().context("its output")?;
        let stderr = child.stderr.take().context("its messages")?;
        Ok(Self {
            child,
            stdout: BufReader::new(stdout).lines(),
            stderr: BufReader::new(stderr).lines(),
            ended: [false; 2],
        })
    }

    /// The next line, of either. May be dropped and called again.
    async fn next(&mut self) -> Said {
        loop {
            if self.ended == [true; 2] {
                return Said::End;
            }
            let (line, from, said): (_, _, fn(String) -> Said) = tokio::select! {
                line = self.stdout.next_line(), if !self.ended[0] => (line, 0, Said::Out),
                line = self.stderr.next_line(), if !self.ended[1] => (line, 1, Said::Err),
            };
            match line {
                Ok(Some(line)) => return said(line),
                Ok(None) | Err(_) => self.ended[from] = true,
            }
        }
    }

    /// Tells it to detach; it takes its probes out by itself.
    fn stop(&self) {
        if let Some(pid) = self.child.id() {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGINT);
        }
    }

    /// Takes what it still says, until it has ended; how it ended.
    async fn end(mut self, mut err: impl FnMut(String)) -> Option<ExitStatus> {
        self.stop();
        let rest = async {
            loop {
                match self.next().await {
                    Said::Out(_) => {}
                    Said::Err(line) => err(line),
                    Said::End => return self.child.wait().await.ok(),
                }
            }
        };
        timeout(PATIENCE, rest).await.ok().flatten()
    }
}

/// Runs until the user quits; the exit code.
pub fn run(args: &TopArgs) -> anyhow::Result<u8> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Usage(
            "`top` draws on a terminal; for a file or a pipe: `pytrace-ebpf stat --interval 1`".into(),
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut top = Top {
            args,
            stop: Stop::new()?,
            tracer: Tracer::start(&args.stat())?,
            is_over: false,
            model: Model::default(),
            look: Look::default(),
            said: Vec::new(),
        };
        let result = match top.begins().await {
            true => top.shown().await,
            false => Ok(()),
        };
        // The terminal is as it was.
        let status = top.tracer.end(|line| top.said.push(line)).await;
        top.look.end().await;
        for line in top.said {
            eprintln!("{line}");
        }
        result?;
        Ok(status
            .and_then(|status| status.code())
            .map_or(1, |code| code as u8))
    })
}

struct Top<'a> {
    args: &'a TopArgs,
    stop: Stop,
    /// Adds calls up.
    tracer: Tracer,
    is_over: bool,
    model: Model,
    look: Look,
    /// What that has said while the terminal was drawn on.
    said: Vec<String>,
}

impl Top<'_> {
    /// Waits until processes are attached to; what is said before is for the user. False: there is nothing to show.
    async fn begins(&mut self) -> bool {
        loop {
            let said = tokio::select! {
                said = self.tracer.next() => said,
                () = self.stop.wait() => return false,
            };
            match said {
                Said::Out(line) => {
                    let Ok(line) = serde_json::from_str(&line) else {
                        continue;
                    };
                    let is_header = matches!(line, Line::Header { .. });
                    self.model.take(line);
                    if is_header {
                        return true;
                    }
                }
                Said::Err(line) => eprintln!("{line}"),
                Said::End => return false,
            }
        }
    }

    /// Draws until the user quits. Whatever happens, the terminal is given back; in a panic too (`ratatui::try_init`).
    async fn shown(&mut self) -> anyhow::Result<()> {
        let mut terminal = ratatui::try_init().context("the terminal")?;
        let result = self.until_quit(&mut terminal).await;
        ratatui::restore();
        result
    }

    async fn until_quit(&mut self, terminal: &mut DefaultTerminal) -> anyhow::Result<()> {
        let mut keys = keys();
        // When what has come is to be drawn.
        let mut due = Some(Instant::now());
        loop {
            if due.is_some_and(|due| due <= Instant::now()) {
                due = None;
                terminal
                    .draw(|frame| view::draw(frame, &self.model))
                    .context("the terminal")?;
            }
            let again = self.look.again;
            let is_new = tokio::select! {
                () = self.stop.wait() => return Ok(()),
                event = keys.recv() => match event {
                    Some(Event::Key(key)) => match keys::press(&mut self.model, key) {
                        Act::Quit => return Ok(()),
                        Act::Nothing => {
                            self.look.want(self.model.wanted());
                            true
                        }
                    },
                    Some(_) => true,
                    // The terminal is gone.
                    None => return Ok(()),
                },
                said = self.tracer.next(), if !self.is_over => self.says(said),
                said = self.look.next() => {
                    if self.sees(said) {
                        // There may be many.
                        due.get_or_insert_with(|| Instant::now() + BREATH);
                    }
                    false
                }
                () = until(again) => {
                    self.look.begin(self.args, &mut self.model)?;
                    false
                }
                () = until(due) => {
                    self.model.arrange();
                    true
                }
            };
            if is_new {
                due = Some(Instant::now());
            }
        }
    }

    /// What the tracer that adds up says; true: there is something new to show.
    fn says(&mut self, said: Said) -> bool {
        match said {
            Said::Out(line) => serde_json::from_str(&line).is_ok_and(|line| self.model.take(line)),
            Said::Err(line) => {
                self.model.message = Some(line.clone());
                self.said.push(line);
                true
            }
            Said::End => {
                self.is_over = true;
                self.model.message = Some("tracing has ended; q quits".to_owned());
                true
            }
        }
    }

    /// What a look says; true: there is something new to show.
    fn sees(&mut self, said: Said) -> bool {
        let line = match said {
            Said::Out(line) if !self.model.paused => line,
            Said::Out(_) | Said::Err(_) => return false,
            Said::End => {
                self.look.again(!self.is_over);
                return false;
            }
        };
        match self.model.wanted() {
            Some(Wanted::Site(site)) => match of_site(&site, &line) {
                Some(call) => self.model.latest(call),
                None => return false,
            },
            Some(Wanted::Targets) => match serde_json::from_str(&line) {
                Ok(event) => self.model.event(&event),
                Err(_) => return false,
            },
            None => return false,
        }
        true
    }
}

/// Looks at values: a tracer, for some events, now and then.
#[derive(Default)]
struct Look {
    tracer: Option<Tracer>,
    wanted: Option<Wanted>,
    /// When it is to be traced again.
    again: Option<Instant>,
    /// Those that detach, beside what goes on.
    ending: Vec<JoinHandle<Option<ExitStatus>>>,
}

impl Look {
    /// These values are wanted, and no others.
    fn want(&mut self, wanted: Option<Wanted>) {
        if self.wanted != wanted {
            self.again = wanted.is_some().then(Instant::now);
            self.wanted = wanted;
            self.stop();
        }
    }

    /// One look has ended; another one, after a rest.
    fn again(&mut self, again: bool) {
        self.stop();
        self.again = (again && self.wanted.is_some()).then(|| Instant::now() + REST);
    }

    fn begin(&mut self, args: &TopArgs, model: &mut Model) -> anyhow::Result<()> {
        self.again = None;
        let args = match &self.wanted {
            Some(Wanted::Site(site)) => look_at(site),
            Some(Wanted::Targets) => {
                model.look();
                args.traced(&["--format", "json", "--max-events", LOOK])
            }
            None => return Ok(()),
        };
        self.tracer = Some(Tracer::start(&args)?);
        Ok(())
    }

    async fn next(&mut self) -> Said {
        match &mut self.tracer {
            Some(tracer) => tracer.next().await,
            None => std::future::pending().await,
        }
    }

    /// Lets the tracer detach by itself.
    fn stop(&mut self) {
        if let Some(tracer) = self.tracer.take() {
            self.ending.retain(|ending| !ending.is_finished());
            self.ending.push(tokio::spawn(tracer.end(|_| {})));
        }
    }

    /// Waits until all probes are out.
    async fn end(mut self) {
        self.stop();
        for ending in self.ending {
            let _ = ending.await;
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What the tool is called with to see the calls of a site.
fn look_at(site: &Site) -> Vec<OsString> {
    let mut args: Vec<OsString> = [
        "--effects",
        "none",
        "--color",
        "never",
        "--wide",
        "--nested",
        "--max-events",
        LOOK,
    ]
    .map(OsString::from)
    .into();
    args.extend(
        site.pid
            .iter()
            .flat_map(|pid| ["--pid".into(), pid.to_string().into()]),
    );
    // A slot may go by several names (`list.__setitem__|list.__delitem__`).
    let names = site.function.split('|').filter(|name| *name != "...");
    args.extend(names.flat_map(|name| ["--function".into(), OsString::from(name)]));
    args
}

/// An event, as text, if it is of that call site: its time, and the call itself.
fn of_site(site: &Site, line: &str) -> Option<String> {
    let (head, call) = line.split_once(&format!(" {}  ", site.place))?;
    let time = head.split(' ').next()?;
    Some(format!("{time} {call}"))
}

/// Keys, and new sizes of the terminal.
fn keys() -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Signals that end it. Ctrl-C is a key while it draws.
struct Stop(Vec<tokio::signal::unix::Signal>);

impl Stop {
    fn new() -> io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        Ok(Self(kinds.into_iter().map(signal).collect::<io::Result<_>>()?))
    }

    async fn wait(&mut self) {
        let [interrupt, terminate, hangup] = self.0.as_mut_slice() else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_call_site() {
        let site = Site {
            pid: Some(7),
            function: "list.__setitem__|list.__delitem__".to_owned(),
            place: "x.py:3 save".to_owned(),
        };
        let line = "21:29:54.618630 7/7 x.py:3 save  list.__setitem__([1], 0, 2) = None <1us>";
        let call = "21:29:54.618630 list.__setitem__([1], 0, 2) = None <1us>";
        assert_eq!(of_site(&site, line).as_deref(), Some(call));
        assert_eq!(of_site(&site, &line.replace("py:3", "py:33")), None);
        let args = look_at(&site);
        let ends = [
            "--pid",
            "7",
            "--function",
            "list.__setitem__",
            "--function",
            "list.__delitem__",
        ];
        assert!(args.ends_with(&ends.map(OsString::from)), "{args:?}");
    }
}
