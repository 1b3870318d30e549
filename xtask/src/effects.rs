//! `cargo xtask effects`: the reference page of the catalogue.

use std::fs;

use anyhow::{Context as _, ensure};

use crate::{build, shell};

/// Builds, and writes `docs/effects.md`.
pub fn run() -> anyhow::Result<()> {
    build::release()?;
    let output = std::process::Command::new(build::binary())
        .args(["effects", "--markdown"])
        .output()
        .context("cannot run pytrace-ebpf")?;
    ensure!(output.status.success(), "pytrace-ebpf effects failed");
    let page = shell::root().join("docs/effects.md");
    fs::create_dir_all(shell::root().join("docs"))?;
    fs::write(&page, output.stdout).with_context(|| format!("cannot write {}", page.display()))
}
