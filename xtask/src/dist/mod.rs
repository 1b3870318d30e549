//! `cargo xtask dist`: what is installed, built into `target/dist` from one tree of files.

mod chart;
mod check;
mod deb;
mod glibc;
mod image;
mod root;
mod stage;
mod tarball;
mod wheel;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::{build, setup, shell, venv::Venv};
use stage::Stage;

/// What can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// pytrace-ebpf-VERSION-x86_64-linux.tar.gz, and one with debug information
    Tarball,
    /// The Debian package
    Deb,
    /// The wheel that carries the binary
    Wheel,
    /// image/: what `docker build` is given
    Image,
    /// The Helm chart, and the manifests made of it (written to tracer-user/dist/kubernetes)
    Chart,
}

/// The interpreter that makes wheels and renders charts.
const PYTHON: &str = "3.12";
/// What it does that with.
const PACKAGES: &str = "auditwheel\nhelm-python-sdk==0.2.2\nkubernetes-validate==1.37.0\nwheel";
/// Of this workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds these, or all; then tries them where that is asked for. `binary` is what is packed; otherwise it is built.
pub fn run(wanted: &[What], binary: Option<PathBuf>, check: bool) -> anyhow::Result<()> {
    let wanted = match wanted {
        [] => What::value_variants(),
        some => some,
    };
    let binary = match binary {
        Some(binary) => binary,
        None => {
            setup::run()?;
            build::release()?;
            build::binary()
        }
    };
    let stage = Stage::make(&binary)?;
    for what in wanted {
        let made = match what {
            What::Tarball => tarball::make(&stage)?,
            What::Deb => vec![deb::make()?],
            What::Wheel => vec![wheel::make(&stage)?],
            What::Image => vec![image::make(&stage)?],
            What::Chart => chart::make()?,
        };
        made.iter().for_each(|path| say(path));
    }
    if check {
        check::run(wanted, &stage)?;
    }
    Ok(())
}

/// `target/dist`.
fn folder() -> PathBuf {
    shell::root().join("target/dist")
}

/// Where the sources of what is packed are.
fn sources() -> PathBuf {
    shell::root().join("tracer-user/dist")
}

/// The interpreter with what makes wheels and renders charts, made when it is not there yet. `None`, and said so, where that is not
/// possible: no such Python, or no package index.
pub fn python() -> Option<PathBuf> {
    let venv = Venv {
        folder: "dist-python".into(),
        version: PYTHON.into(),
        packages: PACKAGES.into(),
    };
    venv.python().unwrap_or_else(|error| {
        println!("charts are neither made nor tested: {error:#}");
        None
    })
}

/// The same, where nothing can be made without.
fn needed_python() -> anyhow::Result<PathBuf> {
    python().with_context(|| {
        format!("wheels and charts need a Python {PYTHON} under ~/.pyenv/versions, and packages")
    })
}

/// An empty folder of `target/dist`.
fn empty(name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder().join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Copies a file, with the folders it is in.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    write_folder(to)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Writes a file, with the folders it is in.
fn write(to: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    write_folder(to)?;
    fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))
}

fn write_folder(of: &Path) -> anyhow::Result<()> {
    let folder = of.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// A line for what was made: where, and how large.
fn say(path: &Path) {
    let shown = path.strip_prefix(shell::root()).unwrap_or(path).display();
    match fs::metadata(path) {
        Ok(file) if file.is_file() => println!("{shown}  {:.1} MB", file.len() as f64 / 1e6),
        _ => println!("{shown}"),
    }
}
