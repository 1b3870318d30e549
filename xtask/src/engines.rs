//! The stores that questions are asked of in end-to-end tests: ClickHouse and DuckDB inside Python, and Debian's ClickHouse
//! of 2018.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, ensure};

use crate::{setup, shell, venv::Venv};

/// The interpreter that both have wheels for.
const VERSION: &str = "3.12";
/// The library that the server is a small program of.
const LIBRARY: &str = "clickhouse-common";
/// Its package would start a service, which nobody here asked for: it is unpacked, and not installed.
const SERVER: &str = "clickhouse-server";

/// The interpreter of a virtual environment with chdb and duckdb. `None`, and said so, where there can be none.
pub fn python() -> Option<PathBuf> {
    let venv = Venv {
        folder: "engines".into(),
        version: VERSION.into(),
        packages: "chdb\nduckdb".into(),
    };
    venv.python().unwrap_or_else(|error| {
        println!("chdb and DuckDB are not tested: {error:#}");
        None
    })
}

/// Debian's server, unpacked under `target/`. `None`, and said so, where there is none.
pub fn clickhouse() -> Option<PathBuf> {
    if !setup::debian() {
        println!("ClickHouse 18.16 is not tested: only Debian's package is known");
        return None;
    }
    unpacked()
        .inspect_err(|error| println!("ClickHouse 18.16 is not tested: {error:#}"))
        .ok()
}

fn unpacked() -> anyhow::Result<PathBuf> {
    let folder = shell::root().join("target/clickhouse");
    let server = folder.join("usr/sbin").join(SERVER);
    if server.exists() && setup::installed(LIBRARY) {
        return Ok(server);
    }
    setup::packages(&[LIBRARY])?;
    fs::create_dir_all(&folder)?;
    let mut download = Command::new("apt-get");
    shell::run(download.args(["-q", "download", SERVER]).current_dir(&folder))
        .context("downloading the package of the server")?;
    let package = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("no package was downloaded")?;
    shell::run(
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&package)
            .arg(&folder),
    )?;
    fs::remove_file(package)?;
    ensure!(server.exists(), "the package has no {}", server.display());
    Ok(server)
}
