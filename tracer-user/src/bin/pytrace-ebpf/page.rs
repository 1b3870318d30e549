//! `pytrace-ebpf report`: a recording becomes one page for a browser.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use tracer_user::{
    recording::item::Header,
    sink::page::{About, Page},
};

use crate::{
    Usage,
    cli::{FilterArgs, OUTPUT, OutputArgs, RecordedArgs, ShownArgs},
    output::Output,
    replay::{Narrow, Play, damaged, open, print_torn, warn_of_stack},
    report::print_summary,
};

/// Options of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A recording, made with `-o FILE.pytrace`; with `--stack 20` for a flamegraph of whole stacks
    pub file: PathBuf,
    /// Write there (created 0600); otherwise to standard output
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub recorded: RecordedArgs,
    #[command(flatten)]
    pub shown: ShownArgs,
}

/// Writes the page.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(
            Usage("a page is nothing for a terminal; give it a file: `-o report.html`".into()).into(),
        );
    }
    let narrow = Narrow::parse(args.recorded.effects.as_deref(), &args.recorded.functions)?;
    let reader = open(&args.file)?;
    warn_of_stack(args.recorded.stack, reader.header().limits.stack);
    let sink = Box::new(Page::new(about(args, reader.header())));
    // The same as `replay` would take.
    let options = OutputArgs {
        shown: args.shown.clone(),
        ..OutputArgs::of_secrets(false)
    };
    let mut play = Play::new(reader, narrow, &options, sink)?;
    if let Some(frames) = args.recorded.stack {
        play.reporter.limit_stack(frames);
    }
    let output = Output::open(args.output.as_deref(), false)?;
    let played = play.run(&mut |chunk| output.queue().blocking_send(chunk).is_ok());
    let written = output.finish().context("cannot write the page");
    let played = played.with_context(|| format!("{}, too little for a page", damaged(&args.file)))?;
    written?;
    if let Some(torn) = played.torn {
        print_torn(&args.file, torn);
    }
    print_summary(&played.summary);
    Ok(())
}

fn about(args: &ReportArgs, header: &Header) -> About {
    let name = args.file.file_name().unwrap_or_default();
    let recorded = &header.filter;
    let mut recorded_with = shared(
        recorded.errors,
        recorded.min_duration,
        recorded.nested,
        recorded.max_events,
    );
    recorded_with.extend(header.sample.map(|rate| format!("--sample {rate}")));
    recorded_with.extend(recorded.paths.iter().map(|glob| format!("--path {glob}")));
    recorded_with.extend(recorded.peers.iter().map(|glob| format!("--peer {glob}")));
    recorded_with.extend(recorded.tasks.iter().map(|glob| format!("--task {glob}")));
    About {
        recording: name.to_string_lossy().into_owned(),
        recorded_by: header.tool.clone(),
        recorded_with,
        shown_with: shown_with(args),
        stack: args
            .recorded
            .stack
            .map_or(header.limits.stack, |frames| frames.min(header.limits.stack)),
        max_str: header.limits.max_str,
    }
}

/// The options that choose what is on the page, as they were given.
fn shown_with(args: &ReportArgs) -> Vec<String> {
    let FilterArgs {
        code,
        paths,
        peers,
        threads,
        tasks,
    } = &args.shown.filters;
    let mut options = Vec::new();
    let lists = [
        ("-e", args.recorded.effects.as_slice()),
        ("-f", &args.recorded.functions),
        ("--in", code),
        ("--path", paths),
        ("--peer", peers),
        ("--thread", threads),
        ("--task", tasks),
    ];
    for (option, given) in lists {
        options.extend(given.iter().map(|value| format!("{option} {value}")));
    }
    options.extend(shared(
        args.shown.errors,
        args.shown.min_duration,
        args.shown.nested,
        args.shown.max_events,
    ));
    options.extend(args.shown.show_secrets.then(|| "--show-secrets".to_owned()));
    options
}

/// The options that recordings have too.
fn shared(errors: bool, least: Option<Duration>, nested: bool, most: Option<u64>) -> Vec<String> {
    let options = [
        errors.then(|| "--errors".to_owned()),
        least.map(|least| format!("--min-duration {least:?}")),
        nested.then(|| "--nested".to_owned()),
        most.map(|most| format!("--max-events {most}")),
    ];
    options.into_iter().flatten().collect()
}
