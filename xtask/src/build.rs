//! `cargo xtask build`: the tool itself.

use std::path::PathBuf;

use crate::shell;

/// Builds `target/release/pytrace-ebpf`.
pub fn release() -> anyhow::Result<()> {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "tracer-user",
        "--bin",
        "pytrace-ebpf",
    ]))
}

/// Where it is.
pub fn binary() -> PathBuf {
    shell::root().join("target/release/pytrace-ebpf")
}
