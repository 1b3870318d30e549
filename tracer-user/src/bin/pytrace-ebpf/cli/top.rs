//! The options of `top`.

use std::{ffi::OsString, time::Duration};

use clap::Args;

use super::stat::{AddedArgs, interval};

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Process to attach to; repeatable
    #[arg(long = "pid", value_name = "PID", required = true)]
    pub pids: Vec<u32>,
    #[command(flatten)]
    pub added: AddedArgs,
    /// Time between two looks
    #[arg(short, long, value_name = "TIME", value_parser = interval, default_value = "1")]
    pub interval: Duration,
}

impl TopArgs {
    /// What the tool is called with to add calls up.
    pub fn stat(&self) -> Vec<OsString> {
        let mut args = self.traced(&["stat", "--format", "json", "--by-process", "--top", "100000"]);
        args.extend([
            "--interval".into(),
            format!("{}ms", self.interval.as_millis()).into(),
        ]);
        if let Some(budget) = self.added.budget {
            args.extend(["--budget".into(), format!("{}%", budget.of_one() * 100.0).into()]);
        }
        args
    }

    /// What the tool is called with, after that, to trace the same.
    pub fn traced(&self, how: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = how.iter().map(OsString::from).collect();
        for pid in &self.pids {
            args.extend(["--pid".into(), pid.to_string().into()]);
        }
        args.extend(["--effects".into(), OsString::from(&self.added.effects)]);
        for function in &self.added.functions {
            args.extend(["--function".into(), OsString::from(function)]);
        }
        let flags = [(self.added.nested, "--nested"), (self.added.follow, "--follow")];
        args.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag.into()));
        args
    }
}
