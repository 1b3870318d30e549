//! The harness of the end-to-end tests: real interpreters, real programs, the real tool.
//!
//! Nothing here sleeps: programs and tracer say when they are ready. Reads end when the other
//! side ends, and a test that hangs is ended by the test runner's own limits.

mod breakpoints;
mod compare;
mod cut;
mod folder;
mod json;
mod program;
#[path = "../../tracer-user/tests/pythons/mod.rs"]
pub mod pythons;
mod recording;
mod run;
mod tracer;
mod truth;

pub use breakpoints::{assert_no_breakpoints, breakpoints_go, differences};
pub use compare::{Tally, assert_same, calls, compare, known, without};
pub use cut::assert_beginning;
pub use folder::Folder;
pub use json::parse;
pub use program::Program;
pub use recording::{Printed, Recording, replay, tool};
pub use run::{Ran, Run, program};
pub use tracer::{Trace, Tracer, binary, functions};
pub use truth::{own_calls, truth_functions};

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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

/// `Python 3.8.18`, as the interpreter says.
pub fn version(python: &Path) -> String {
    let output = Command::new(python).arg("--version").output();
    output
        // Python 2 writes it to standard error.
        .map(|output| {
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
                .trim()
                .to_owned()
        })
        .unwrap_or_default()
}
