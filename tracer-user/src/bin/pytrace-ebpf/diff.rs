//! `pytrace-ebpf diff`: which effects one recording has and another has not.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use tracer_user::{
    event::call::{CallEvent, TypeNames},
    sink::{
        Began, ProcessChange, Sink, Summary,
        escape::plain,
        text::{full_place, target},
    },
};

use crate::{
    cli::{DiffArgs, FilterArgs, OutputArgs, ShownArgs},
    replay::{Narrow, Play, open, print_torn},
};

/// Different effects of one recording at most.
const MAX_EFFECTS: usize = 1_000_000;

/// What an effect is known by: effect, function, target, call site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    effect: &'static str,
    function: String,
    target: String,
    place: String,
}

/// How often each was there.
#[derive(Default)]
struct Tally {
    counts: BTreeMap<Key, u64>,
    /// Only some calls were recorded, and stand for the others: counts are estimates.
    sampled: bool,
    /// Calls not counted, since there were too many different ones.
    left_out: u64,
}

/// Counts calls.
struct Counter(Arc<Mutex<Tally>>);

impl Sink for Counter {
    fn header(&mut self, _: &Began<'_>, _: &mut Vec<u8>) {}

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, _: &mut Vec<u8>) {
        let text = |write: &mut dyn FnMut(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let key = Key {
            effect: call.effect,
            function: text(&mut |out| plain(call.function, out)),
            target: text(&mut |out| target(call, names, out)),
            place: text(&mut |out| full_place(call.stack.first(), out)),
        };
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tally.counts.len() >= MAX_EFFECTS && !tally.counts.contains_key(&key) {
            tally.left_out += 1;
        } else {
            let count = tally.counts.entry(key).or_default();
            *count = count.saturating_add(call.weight);
        }
    }

    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}
    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}
    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}

/// Prints what A has and B has not, and the other way round.
pub fn run(args: &DiffArgs) -> anyhow::Result<()> {
    let (a, b) = (tally(&args.a, &args.filters)?, tally(&args.b, &args.filters)?);
    let mut out = Vec::new();
    only(&args.a, &a, &b, &mut out);
    only(&args.b, &b, &a, &mut out);
    match std::io::stdout().lock().write_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write the output")
        }
        _ => Ok(()),
    }
}

/// Counts the effects of a recording.
fn tally(path: &Path, filters: &FilterArgs) -> anyhow::Result<Tally> {
    let tally = Arc::new(Mutex::new(Tally::default()));
    let options = OutputArgs {
        shown: ShownArgs {
            filters: filters.clone(),
            ..ShownArgs::default()
        },
        ..OutputArgs::of_secrets(false)
    };
    let sink = Box::new(Counter(Arc::clone(&tally)));
    let play = Play::new(open(path)?, Narrow::default(), &options, sink)?;
    let sampled = play.reporter.rate().is_some();
    if sampled {
        crate::logging::say!(
            "{} was recorded with --sample: what it seems not to have may be among the calls that were not chosen",
            path.display()
        );
    }
    let played = play
        .run(&mut |_| true)
        .with_context(|| format!("{} cannot be compared", path.display()))?;
    if let Some(torn) = played.torn {
        print_torn(path, torn);
    }
    if played.summary.lost != 0 {
        crate::logging::say!(
            "{} lost {} records: what it seems not to have may be among them",
            path.display(),
            played.summary.lost
        );
    }
    let mut tally = std::mem::take(&mut *tally.lock().unwrap_or_else(PoisonError::into_inner));
    tally.sampled = sampled;
    if tally.left_out != 0 {
        bail!("{} has more than {MAX_EFFECTS} different effects", path.display());
    }
    Ok(tally)
}

fn only(path: &Path, has: &Tally, has_not: &Tally, out: &mut Vec<u8>) {
    let missing = has
        .counts
        .iter()
        .filter(|(key, _)| !has_not.counts.contains_key(key));
    let missing: Vec<_> = missing.collect();
    let _ = write!(out, "only in ");
    plain(&path.display().to_string(), out);
    let _ = writeln!(out, ": {} effects", missing.len());
    for (key, count) in missing {
        let Key {
            effect,
            function,
            target,
            place,
        } = key;
        let count = match has.sampled {
            true => format!("~{count}"),
            false => count.to_string(),
        };
        let _ = writeln!(out, "{count:>8}  {effect:<20} {function}({target})  {place}");
    }
}
