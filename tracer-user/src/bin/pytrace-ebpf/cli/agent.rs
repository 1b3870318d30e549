//! The options of `agent`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// Options of `agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// What to trace, and where it goes: TOML
    #[arg(long, value_name = "FILE", default_value = "/etc/pytrace-ebpf/agent.toml")]
    pub config: PathBuf,
    /// Only reads the file, and says what is wrong in it
    #[arg(long)]
    pub check: bool,
    /// Only asks the agent that runs with that file whether it is well
    #[arg(long, conflicts_with = "check")]
    pub check_health: bool,
    /// Diagnostics of the tool itself; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}
