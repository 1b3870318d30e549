//! `pytrace-ebpf testgen`: a recording becomes a pytest file.

use std::{
    io::BufRead as _,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tracer_user::{
    event::call::{CallEvent, TypeNames},
    sink::{Began, ProcessChange, Sink, Summary, json::Json},
    testgen::generate,
};

use crate::{
    cli::{OutputArgs, TestgenArgs},
    output::Output,
    replay::{Narrow, Play, open, print_torn},
};

/// Events of a recording at most.
const MAX_EVENTS: usize = 2_000_000;

/// Keeps events, in the JSON format.
struct Keep(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    events: Vec<Value>,
    /// Events that are not kept, since there were too many.
    left_out: u64,
}

impl Sink for Keep {
    fn header(&mut self, _: &Began<'_>, _: &mut Vec<u8>) {}

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, _: &mut Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.events.len() >= MAX_EVENTS {
            kept.left_out += 1;
            return;
        }
        let mut line = Vec::new();
        Json.call(call, names, &mut line);
        // One with a lone surrogate is JSON, but no text.
        if let Some(Ok(line)) = line.lines().next()
            && let Ok(event) = serde_json::from_str(&line)
        {
            kept.events.push(event);
        } else {
            kept.left_out += 1;
        }
    }

    fn process(&mut self, _: u32, _: &ProcessChange, _: u64, _: &mut Vec<u8>) {}
    fn loss(&mut self, _: u64, _: u64, _: &mut Vec<u8>) {}
    fn summary(&mut self, _: &Summary, _: &mut Vec<u8>) {}
}

/// Writes the tests.
pub fn run(args: &TestgenArgs) -> anyhow::Result<()> {
    let options = OutputArgs::of_secrets(args.show_secrets);
    let kept = Arc::new(Mutex::new(Kept::default()));
    let sink = Box::new(Keep(Arc::clone(&kept)));
    let play = Play::new(open(&args.file)?, Narrow::default(), &options, sink)?;
    if play.reporter.rate().is_some() {
        bail!(
            "{} was recorded with --sample: acts of the calls are missing in it; record again without",
            args.file.display()
        );
    }
    let played = play
        .run(&mut |_| true)
        .with_context(|| format!("{} could be read only in part", args.file.display()))?;
    if let Some(torn) = played.torn {
        print_torn(&args.file, torn);
    }
    if played.summary.lost != 0 {
        bail!(
            "{} records were lost while this was recorded: what the calls did is not known for sure; record again, of fewer functions",
            played.summary.lost
        );
    }
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.left_out != 0 {
        bail!("{} events are too many, or cannot be read", kept.left_out);
    }
    let source = args.file.file_name().unwrap_or_default().to_string_lossy();
    let generated = generate(&kept.events, &args.function, &source, args.max_tests)?;
    let output = Output::open(args.output.as_deref(), false)?;
    let _ = output.queue().blocking_send(generated.text.into_bytes());
    output.finish().context("cannot write the tests")?;
    crate::logging::say!(
        "{} tests of {}, {} of them skipped for what was not recorded; {} calls left out",
        generated.tests,
        args.function,
        generated.skipped,
        generated.left_out
    );
    Ok(())
}
