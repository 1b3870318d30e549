//! The harness of the end-to-end tests: real interpreters, real programs, the real tool.
//!
//! Nothing here sleeps: programs and tracer say when they are ready. Reads end when the other
//! side ends, and a test that hangs is ended by the test runner's own limits.

mod agent;
mod attached;
mod breakpoints;
mod clickhouse;
mod collector;
mod compare;
mod cut;
mod environment;
mod folder;
mod journal;
mod json;
mod postgres;
pub mod profiled;
mod program;
#[path = "../../tracer-user/tests/pythons/mod.rs"]
pub mod pythons;
mod recording;
pub mod regrtest;
mod rotel;
mod run;
mod server;
mod terminal;
mod tracer;
mod truth;
mod written;

pub use agent::{Agent, config as agent_config};
pub use attached::Attached;
pub use breakpoints::{assert_no_breakpoints, breakpoints_go, differences};
pub use clickhouse::{Chdb, ClickHouse, engines};
pub use collector::{Collector, LogRecord, Point};
pub use compare::{Tally, assert_same, calls, compare, known, without};
pub use cut::assert_beginning;
pub use environment::command;
pub use folder::Folder;
pub use journal::{assert_acts, data, from_file};
pub use json::{parse, without_ids};
pub use postgres::{Log, Postgres};
pub use program::{Program, programs, rightly};
pub use recording::{Printed, Recording, replay, tool};
pub use rotel::{Rotel, free_ports};
pub use run::{Ran, Run, program};
pub use terminal::{Terminal, children};
pub use tracer::{Trace, Tracer, binary, functions};
pub use truth::{own_calls, truth_functions};
pub use written::{Level, Tree, assert_same_files, on_disk, rebuilt};

use std::path::{Path, PathBuf};

/// The interpreters that are installed here, and those of `PYTRACE_PYTHONS` (`/path:/path`).
/// Empty, and said so, where tracing is not possible.
pub fn interpreters() -> Vec<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: tracing needs root");
        return Vec::new();
    }
    let found = pythons::all();
    for path in &found {
        println!("INTERPRETER: {} {}", path.display(), version(path));
    }
    found
}

/// The interpreters that have the packages of `tests/packages`; `cargo xtask e2e` makes them. Empty, and said so,
/// where there are none.
pub fn packaged() -> Vec<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: tracing needs root");
        return Vec::new();
    }
    let found: Vec<PathBuf> = match std::env::var_os("PYTRACE_REAL") {
        Some(list) => std::env::split_paths(&list).collect(),
        None => ["3.8", "3.12", "3.13"]
            .into_iter()
            .map(|version| {
                format!(
                    "{}/../target/packages/{version}/bin/python",
                    env!("CARGO_MANIFEST_DIR")
                )
                .into()
            })
            .filter(|python: &PathBuf| python.exists())
            .collect(),
    };
    if found.is_empty() {
        println!("SKIPPED: no interpreter here has the packages of tests/packages");
    }
    found
}

/// `Python 3.8.18`, as the interpreter says.
pub fn version(python: &Path) -> String {
    let output = command(python).arg("--version").output();
    output
        // Python 2 writes it to standard error.
        .map(|output| {
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
                .trim()
                .to_owned()
        })
        .unwrap_or_default()
}
