//! The harness of the end-to-end tests: real interpreters, real programs, the real tool.
//!
//! Nothing here sleeps: programs and tracer say when they are ready. Reads end when the other
//! side ends, and a test that hangs is ended by the test runner's own limits.

mod breakpoints;
mod compare;
mod json;
mod program;
mod tracer;

pub use breakpoints::{assert_no_breakpoints, differences};
pub use compare::{Tally, assert_same, calls, compare};
pub use json::parse;
pub use program::Program;
pub use tracer::{Trace, Tracer, binary};

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The interpreters the tool supports that are installed here, and those of `PYTRACE_PYTHONS`.
/// Empty, and said so, where tracing is not possible.
pub fn interpreters() -> Vec<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: tracing needs root");
        return Vec::new();
    }
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    let versions = env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv/versions"));
    let mut installed: Vec<PathBuf> = versions
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_supported(path))
        .map(|path| path.join("bin/python"))
        .collect();
    installed.sort();
    found.extend(installed);
    let extra = env::var("PYTRACE_PYTHONS").unwrap_or_default();
    found.extend(
        extra
            .split(':')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    );
    found.retain(|path| path.exists());
    for path in &found {
        println!("INTERPRETER: {} {}", path.display(), version(path));
    }
    found
}

fn is_supported(folder: &Path) -> bool {
    let name = folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    ["3.11.", "3.12.", "3.13."]
        .iter()
        .any(|minor| name.starts_with(minor))
}

fn version(python: &Path) -> String {
    let output = Command::new(python).arg("--version").output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
