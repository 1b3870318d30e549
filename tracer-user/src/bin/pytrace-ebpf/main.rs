//! The command.

mod advice;
mod agent;
mod cli;
mod command;
mod commands;
mod diff;
mod doctor;
mod filters;
mod guard;
mod harm;
mod logging;
mod output;
mod page;
mod pages;
mod privileges;
mod probes;
mod profile;
mod query;
mod replay;
mod report;
mod ring;
mod screen;
mod session;
mod sweep;
mod target;
mod testgen;
mod top;
mod trace;
mod watching;

use std::{fmt, process::ExitCode};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use tracer_user::{catalogue::select::SelectError, event::pattern::BadGlob};

use cli::{Cli, Command, StatArgs};
use output::{is_parquet, is_recording};

/// An error of usage: exit code 2.
#[derive(Debug)]
struct Usage(String);

impl From<SelectError> for Usage {
    fn from(error: SelectError) -> Self {
        Self(error.to_string())
    }
}

impl From<BadGlob> for Usage {
    fn from(error: BadGlob) -> Self {
        Self(error.to_string())
    }
}

impl Usage {
    /// A Parquet file can be read only when its end is there, which a killed tracer would not have written.
    fn live_parquet() -> Self {
        Self("Parquet is made of a recording: record with `-o calls.pytrace`, then `pytrace-ebpf replay calls.pytrace -o calls.parquet`".into())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {}

/// Interrupted again while the last output waited for its reader.
const INTERRUPTED: i32 = 130;
const COULD_NOT: u8 = 1;
const USAGE: u8 = 2;

/// `stat`, of running processes or of a program that it starts; the exit code.
fn stat(args: &StatArgs) -> anyhow::Result<u8> {
    let trace = args.trace();
    if is_recording(args.output.as_deref()) || is_parquet(args.output.as_deref()) {
        return Err(Usage(
            "`stat` keeps no calls to record; give its table another name, or record with `--pid` or `run`"
                .into(),
        )
        .into());
    }
    match (args.pids.is_empty(), args.command.is_empty()) {
        (true, false) => trace::run_command(&trace, &args.command, None),
        (false, true) => trace::run(&trace, None).map(|()| 0),
        _ => Err(Usage(
            "`stat` looks at running processes (--pid PID) or starts a program (`stat -- CMD`)".into(),
        )
        .into()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(match &cli.command {
        Some(Command::Run { trace, .. }) => trace.verbose,
        Some(Command::Stat(args)) => args.verbose,
        Some(Command::Profile(args)) => args.verbose,
        Some(Command::Agent(args)) => args.verbose.max(1),
        Some(Command::Tracer { verbose }) => *verbose,
        _ => cli.trace.verbose,
    });
    let result = match &cli.command {
        Some(Command::Run { trace, .. }) if !trace.pids.is_empty() => Cli::command()
            .error(
                ErrorKind::ArgumentConflict,
                "`run` starts a program; --pid does not go with it",
            )
            .exit(),
        Some(Command::Run { trace, command }) => match trace::run_command(trace, command, None) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Some(Command::Profile(args)) => match profile::run(args) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Some(Command::Stat(args)) => match stat(args) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Some(Command::Top(args)) => match top::run(args) {
            Ok(code) => return ExitCode::from(code),
            Err(error) => Err(error),
        },
        Some(Command::Agent(args)) => agent::run(args),
        Some(Command::Tracer { verbose }) => trace::serve(*verbose),
        Some(Command::Guard { tracer }) => guard::run(*tracer),
        Some(Command::Member) => guard::member(),
        Some(Command::Begin {
            gate,
            started,
            command,
        }) => command::begin(*gate, *started, command),
        Some(Command::Functions { pid, glob }) => commands::functions(*pid, glob.as_deref()),
        Some(Command::Effects { markdown }) => commands::effects(*markdown),
        Some(Command::Replay(args)) => replay::run(args),
        Some(Command::Query(args)) => query::run(args),
        Some(Command::Report(args)) => page::run(args),
        Some(Command::Diff(args)) => diff::run(args),
        Some(Command::Testgen(args)) => testgen::run(args),
        Some(Command::Doctor { pid, format }) => match doctor::run(*pid, *format) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Some(Command::Completions { shell }) => {
            pages::completions(*shell);
            Ok(())
        }
        Some(Command::Man { command }) => pages::manual(command.as_deref()),
        None if !cli.trace.pids.is_empty() => trace::run(&cli.trace, None),
        None => Cli::command()
            .error(
                ErrorKind::MissingRequiredArgument,
                "nothing to do: give --pid PID, or a command",
            )
            .exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line, whatever the cause.
            let text = format!("{error:#}");
            crate::logging::say!("{text}");
            ExitCode::from(if error.is::<Usage>() { USAGE } else { COULD_NOT })
        }
    }
}
