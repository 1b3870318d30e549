//! The Debian package, by cargo-deb: `[package.metadata.deb]` of tracer-user/Cargo.toml says what is in it.

use std::{path::PathBuf, process::Command};

use anyhow::Context as _;

use super::{VERSION, folder};
use crate::shell;

const CARGO_DEB: &str = "3.8.0";

/// Where it is, and what it is called.
pub fn package() -> PathBuf {
    folder().join(format!("pytrace-ebpf_{VERSION}_amd64.deb"))
}

/// Builds it of what is staged.
pub fn make() -> anyhow::Result<PathBuf> {
    if !shell::cargo(&["deb", "--version"]).output()?.status.success() {
        println!("installing cargo-deb {CARGO_DEB} (about a minute)");
        let install = [
            "install",
            "--quiet",
            "--locked",
            "cargo-deb",
            "--version",
            CARGO_DEB,
        ];
        shell::run(Command::new("cargo").args(install)).context("installing cargo-deb")?;
    }
    let mut command = shell::cargo(&["deb", "--quiet", "--package", "tracer-user"]);
    command.args(["--no-build", "--no-strip"]);
    shell::run(command.arg("--output").arg(package()))?;
    Ok(package())
}
