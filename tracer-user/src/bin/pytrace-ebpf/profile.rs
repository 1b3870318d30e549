//! `pytrace-ebpf profile`: a trace of which stacks are kept, and how long the program was at each.

use std::{io::IsTerminal as _, path::Path};

use anyhow::bail;
use tracer_user::{
    attach::{Kernel, Sampler},
    process::Process,
    profile::{
        Options,
        sink::{Format, Shared},
    },
    sink::Summary,
};

use crate::{
    Usage,
    cli::{Mode, OutputArgs, ProfileArgs, ProfileFormat, TraceArgs},
    output::{is_parquet, is_recording},
    report::print_summary,
    trace,
};

/// `--effects` where it is not given: calls that may wait, and in which no other program's code is what runs.
pub const WAITS: &str =
    "file,net,db,console,process,thread.lock,thread.join,thread.put,thread.get,time.sleep,time.wait";

/// How a profile is made.
pub struct Plan {
    pub shared: Shared,
    pub format: Format,
    options: Options,
}

/// Profiles running processes until told to stop, or a program until it ends; the exit code.
pub fn run(args: &ProfileArgs) -> anyhow::Result<u8> {
    check(args)?;
    let plan = Plan::of(args);
    let trace = trace_args(args);
    if args.command.is_empty() {
        trace::run(&trace, Some(plan))?;
        return Ok(0);
    }
    trace::run_command(&trace, &args.command, Some(plan))
}

/// What would not be what it looks like.
fn check(args: &ProfileArgs) -> Result<(), Usage> {
    let to = args.output.as_deref();
    if is_recording(to) || is_parquet(to) {
        return Err(Usage(
            "a profile is no recording: name the file `x.svg`, `x.speedscope.json`, `x.pb.gz` or `x.folded`"
                .into(),
        ));
    }
    if to.is_none() && format(args.format, to) == Format::Pprof && std::io::stdout().is_terminal() {
        return Err(Usage(
            "pprof is not for terminals: name a file, `-o profile.pb.gz`".into(),
        ));
    }
    Ok(())
}

impl Plan {
    fn of(args: &ProfileArgs) -> Self {
        let options = Options {
            rate: if args.mode == Mode::Off { 0 } else { args.rate },
            waits: args.mode != Mode::On,
            depth: args.depth as usize,
            lines: args.lines,
            threads: args.threads,
        };
        Self {
            shared: Shared::new(options),
            format: format(args.format, args.output.as_deref()),
            options,
        }
    }

    /// Starts to take samples, if any are wanted.
    pub fn sampler(&self, kernel: &mut Kernel) -> anyhow::Result<Option<Sampler>> {
        let Options { rate, depth, .. } = self.options;
        let sampler = (rate != 0).then(|| Sampler::start(kernel, rate, depth as u32));
        Ok(sampler.transpose()?)
    }

    /// What is seen of a process of which so many functions are probed.
    pub fn what(&self, functions: &str) -> String {
        let Options { rate, waits, .. } = self.options;
        let samples = (rate != 0).then(|| format!("{rate} samples a second on each processor"));
        let calls = waits.then(|| functions.to_owned());
        let parts: Vec<String> = samples.into_iter().chain(calls).collect();
        format!("{}; Ctrl-C ends", parts.join(", "))
    }

    /// Prints the last lines on standard error.
    pub fn print_summary(&self, summary: &Summary) {
        eprintln!("{}", self.shared.lock().line());
        if self.options.waits {
            print_summary(summary);
        }
    }
}

/// Takes samples of a process from now on.
pub fn add(sampler: &mut Sampler, process: &Process, index: u16) -> anyhow::Result<()> {
    if !sampler.sees(process) {
        bail!(
            "process {} is in another container: start the tool outside of containers (or with its --pid=host)",
            process.pid()
        );
    }
    Ok(sampler.add(process.pid(), index)?)
}

/// `--format`, or what the name of the file asks for.
fn format(asked: Option<ProfileFormat>, output: Option<&Path>) -> Format {
    match asked {
        Some(ProfileFormat::Folded) => Format::Folded,
        Some(ProfileFormat::Flamegraph) => Format::Flamegraph,
        Some(ProfileFormat::Speedscope) => Format::Speedscope,
        Some(ProfileFormat::Pprof) => Format::Pprof,
        None => {
            let name = output.unwrap_or(Path::new("")).to_string_lossy();
            match &*name {
                name if name.ends_with(".svg") => Format::Flamegraph,
                name if name.ends_with(".json") => Format::Speedscope,
                name if name.ends_with(".pb.gz") || name.ends_with(".pprof") => Format::Pprof,
                _ => Format::Folded,
            }
        }
    }
}

/// The trace that a profile is made of: without values.
fn trace_args(args: &ProfileArgs) -> TraceArgs {
    TraceArgs {
        pids: args.pids.clone(),
        effects: match args.mode {
            Mode::On => "none".to_owned(),
            Mode::Off | Mode::Both => args.effects.clone(),
        },
        functions: Vec::new(),
        calls: Vec::new(),
        output: OutputArgs {
            output: args.output.clone(),
            ..OutputArgs::of_secrets(true)
        },
        // One more tells whether there is one.
        stack: args.depth + 1,
        max_str: 0,
        max_items: 0,
        max_depth: 0,
        sample: None,
        duration: args.duration,
        follow: args.follow,
        ring: args.ring,
        budget: None,
        empty: false,
        verbose: args.verbose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_follows_from_the_name_of_the_file() {
        for (name, expected) in [
            ("profile.svg", Format::Flamegraph),
            ("profile.speedscope.json", Format::Speedscope),
            ("profile.pb.gz", Format::Pprof),
            ("profile.folded", Format::Folded),
            ("profile", Format::Folded),
        ] {
            assert_eq!(format(None, Some(Path::new(name))), expected);
        }
        let asked = format(Some(ProfileFormat::Folded), Some(Path::new("profile.svg")));
        assert_eq!(asked, Format::Folded);
    }
}
