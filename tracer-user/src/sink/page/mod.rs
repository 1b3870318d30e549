//! One HTML page of a whole trace, to be looked at in a browser, without a network.
//!
//! The page has every call in it, and does the counting itself: so its filters apply to all that it shows. What it could
//! not take in is counted, and said on it.

mod document;
mod json;
mod moved;
mod rows;
mod touched;

use serde::Serialize;

use super::{Began, ProcessChange, Sink, Summary, TargetInfo, escape::plainly};
use crate::event::call::{CallEvent, TypeNames};
use rows::Rows;

/// Losses, and changes of processes, kept at most; the counts of more are in the last one.
const MAX_HAPPENED: usize = 100_000;

/// What a page says of the recording that it is made of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct About {
    /// Its file's name.
    pub recording: String,
    /// Name and version of the tool that recorded it.
    pub recorded_by: String,
    /// Options that chose what was recorded to be shown.
    pub recorded_with: Vec<String>,
    /// Options that chose what of it is on the page.
    pub shown_with: Vec<String>,
    /// Python frames per call, at most.
    pub stack: u32,
    /// Bytes of a string captured.
    pub max_str: u32,
}

/// The page.
#[derive(Debug, Default)]
pub struct Page {
    about: About,
    targets: Vec<TargetInfo>,
    /// Of functions that are called more often than that in a second only some calls are here.
    sample: Option<u32>,
    rows: Rows,
    /// Unix time, nanoseconds, and how many records.
    losses: Vec<(u64, u64)>,
    processes: Vec<Happened>,
    /// Changes of processes that were too many to keep.
    changes_left_out: u64,
    summary: Summary,
}

/// Something that happened to a process.
#[derive(Debug)]
struct Happened {
    time_ns: u64,
    pid: u32,
    what: &'static str,
    more: String,
}

impl Page {
    /// Of such a recording.
    pub fn new(mut about: About) -> Self {
        let options = about.recorded_with.iter_mut().chain(&mut about.shown_with);
        for text in options.chain([&mut about.recording, &mut about.recorded_by]) {
            *text = plainly(text).into_owned();
        }
        Self {
            about,
            ..Self::default()
        }
    }

    /// Nanoseconds since the start, and how many records were lost from then on.
    fn losses(&self, start_ns: u64) -> Vec<(u64, u64)> {
        let losses = self.losses.iter();
        losses
            .map(|(since_ns, count)| (since_ns.saturating_sub(start_ns), *count))
            .collect()
    }

    /// Nanoseconds since the start, process, what happened, and more on it.
    fn processes(&self, start_ns: u64) -> Vec<(u64, u32, &'static str, &str)> {
        let processes = self.processes.iter();
        processes
            .map(|one| {
                (
                    one.time_ns.saturating_sub(start_ns),
                    one.pid,
                    one.what,
                    &*one.more,
                )
            })
            .collect()
    }
}

impl Sink for Page {
    fn header(&mut self, began: &Began<'_>, _: &mut Vec<u8>) {
        self.sample = began.sample;
        self.targets = began.targets.iter().map(plain_target).collect();
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, _: &mut Vec<u8>) {
        self.rows.push(call, names);
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, _: &mut Vec<u8>) {
        if self.processes.len() >= MAX_HAPPENED {
            self.changes_left_out += 1;
            return;
        }
        self.processes.push(Happened {
            time_ns,
            pid,
            what: change.name(),
            more: plainly(&more_of(change)).into_owned(),
        });
    }

    fn loss(&mut self, count: u64, since_ns: u64, _: &mut Vec<u8>) {
        let is_full = self.losses.len() >= MAX_HAPPENED;
        match self.losses.last_mut().filter(|_| is_full) {
            Some((_, last)) => *last = last.saturating_add(count),
            None => self.losses.push((since_ns, count)),
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.summary = summary.clone();
        for site in &mut self.summary.sites {
            site.function = plainly(&site.function).into_owned();
        }
        self.rows.sort();
        document::write(&json::Data(self), out);
    }
}

/// What is said of a change besides its name.
fn more_of(change: &ProcessChange) -> String {
    match change {
        ProcessChange::Exit => String::new(),
        ProcessChange::Fork { parent } => format!("from {parent}"),
        ProcessChange::Exec { executable, .. } => executable.clone(),
        ProcessChange::Load {
            files,
            functions,
            gap_ns,
        } => {
            let unseen = match gap_ns {
                0 => String::new(),
                ns => format!("; not seen for {} ms", *ns as f64 / 1e6),
            };
            format!("{functions} functions more, of {}{unseen}", files.join(", "))
        }
        ProcessChange::Shed { function, .. } => format!("{function}: only moments are seen from here on"),
        ProcessChange::Window {
            function,
            calls,
            unseen_ns,
            ..
        } => format!(
            "{calls} calls of {function}; none was seen for {} ms before",
            *unseen_ns as f64 / 1e6
        ),
        ProcessChange::Cost { cost_ppm, .. } => format!("{}% of a processor", *cost_ppm as f64 / 1e4),
    }
}

fn plain_target(target: &TargetInfo) -> TargetInfo {
    let plain = |text: &str| plainly(text).into_owned();
    TargetInfo {
        python: plain(&target.python),
        executable: plain(&target.executable),
        unseen: target.unseen.as_deref().map(|text| plain(text).into()),
        ..*target
    }
}

#[cfg(test)]
mod tests;
