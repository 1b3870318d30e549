//! `cargo xtask deny`: licences, duplicates and origins of all crates, and what is known to be wrong with them.

use std::process::Command;

use crate::shell;

const CARGO_DENY: &str = "0.20.2";

/// Checks by `deny.toml`. The list of advisories is fetched, which is not possible everywhere: then that is said.
pub fn run() -> anyhow::Result<()> {
    let deny = || {
        let mut command = Command::new("cargo");
        command.current_dir(shell::root()).arg("deny");
        command
    };
    if !deny().arg("--version").output()?.status.success() {
        shell::run(Command::new("cargo").args([
            "install",
            "--quiet",
            "--locked",
            "cargo-deny",
            "--version",
            CARGO_DENY,
        ]))?;
    }
    shell::run(deny().args(["check", "licenses", "bans", "sources"]))?;
    let fetched = deny().args(["fetch", "db"]).output()?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr);
        // git's last line says what it was.
        let why = said.lines().rfind(|line| !line.trim().is_empty());
        println!(
            "advisories: NOT CHECKED, their list cannot be reached from here ({})",
            why.unwrap_or("no reason given")
        );
        return Ok(());
    }
    shell::run(deny().args(["check", "--disable-fetch", "advisories"]))
}
