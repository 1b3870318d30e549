//! `cargo xtask setup`: what building needs and is not there yet.

use std::{env, fs, process::Command};

use anyhow::{Context as _, bail};

use crate::{bpf_toolchain, shell};

/// Debian packages of the BPF compiler, its core library, its linter, the LLVM that bpf-linker uses, and
/// the tools of that LLVM that read coverage.
const DEBIAN_PACKAGES: [&str; 6] = [
    "rustc-web",
    "libstd-rust-web-dev-bpf",
    "rust-web-clippy",
    "llvm-22",
    "llvm-22-dev",
    "gcc",
];
const BPF_LINKER: &str = "0.13.0";
const LLVM_FEATURE: &str = "llvm-22";
/// Where that LLVM is; coverage needs its own tools to be as new as rustc's.
pub const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

const ELSEWHERE: &str = "this distribution is not known to `cargo xtask setup`; install by hand:\n  \
    rustup toolchain install nightly --component rust-src\n  \
    cargo install bpf-linker\n\
    and run it again";

/// Installs what is missing.
pub fn run() -> anyhow::Result<()> {
    if debian() {
        packages(&DEBIAN_PACKAGES)?;
    }
    if bpf_toolchain::compiler().is_none() {
        bail!(ELSEWHERE);
    }
    if bpf_toolchain::linker().is_none() {
        linker()?;
    }
    bpf_toolchain::find().map_err(|what| anyhow::anyhow!("{what}, even after installing"))?;
    Ok(())
}

/// Is this Debian?
pub fn debian() -> bool {
    fs::read_to_string("/etc/os-release").is_ok_and(|text| text.lines().any(|line| line == "ID=debian"))
}

/// Installs those Debian packages that are missing.
pub fn packages(wanted: &[&'static str]) -> anyhow::Result<()> {
    let missing: Vec<&str> = wanted
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing Debian packages: {}", missing.join(" "));
    let apt = |args: &[&str]| {
        let mut command = shell::as_root("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(args);
        command
    };
    shell::run(&mut apt(&["-q", "update"]))?;
    // A file of settings that was there first stays as it is.
    let keep = ["-o", "Dpkg::Options::=--force-confold"];
    let mut install = apt(&["-q", "install", "-y", "--no-install-recommends"]);
    install.args(keep);
    shell::run(install.args(&missing)).context("installing Debian packages")
}

/// Is that Debian package installed?
pub fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}

fn linker() -> anyhow::Result<()> {
    println!("setup: installing bpf-linker {BPF_LINKER} with cargo (about a minute)");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["install", "bpf-linker", "--version", BPF_LINKER, "--locked"]);
    if debian() {
        command
            .env("LLVM_PREFIX", LLVM_PREFIX)
            .args(["--no-default-features", "--features", LLVM_FEATURE]);
    }
    shell::run(&mut command).context("installing bpf-linker")
}
