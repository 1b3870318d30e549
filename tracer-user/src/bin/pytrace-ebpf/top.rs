//! `pytrace-ebpf top`: what processes do now, on the terminal.
//!
//! Calls are added up by `pytrace-ebpf stat`, which is started as a program of its own and says what came since the last time, as JSON. So
//! what runs as root beside the traced processes is what always does, with its filter of system calls, and what draws has no probe
//! in any process. The values of one call site come from a second one, while it is looked at.

mod feed;
mod keys;
mod look;
mod model;
mod numbers;
mod tracer;
mod view;

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use anyhow::Context as _;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use self::{
    feed::Line,
    keys::Act,
    look::{Look, of_site},
    model::{Model, Wanted},
    tracer::{Said, Tracer},
};
use crate::{Usage, cli::TopArgs, trace::until};

/// How long an event may wait to be drawn.
const BREATH: Duration = Duration::from_millis(100);

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
            Said::Out(line) => line,
            Said::Err(_) => return false,
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
