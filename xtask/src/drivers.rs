//! A Python with database drivers and other extension modules, for the end-to-end tests.

use std::{env, fs, path::PathBuf, process::Command};

use crate::shell;

/// What is installed: the packages of the drivers that the catalogue knows and that come as wheels.
const PACKAGES: &[&str] = &[
    "hiredis",
    "lxml",
    "numpy",
    "orjson",
    "psycopg[binary]",
    "psycopg2-binary",
    "pymongo",
    "uvloop",
];
/// The interpreter that all of them have wheels for.
const VERSION: &str = "3.12.";

/// The interpreter of a virtual environment with them, made when it is not there yet. `None`, and said
/// so, where that is not possible: no such Python, or no package index.
pub fn python() -> Option<PathBuf> {
    let folder = shell::root().join("target/drivers");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join("\n");
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|packages| packages == wanted) {
        return Some(python);
    }
    let Some(base) = base() else {
        println!("no Python {VERSION}x under ~/.pyenv/versions: drivers are not tested");
        return None;
    };
    let made = shell::run(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder))
        .and_then(|()| {
            let mut install = Command::new(&python);
            install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
            shell::run(install.args(["--only-binary", ":all:"]).args(PACKAGES))
        })
        .and_then(|()| Ok(fs::write(&stamp, wanted)?));
    match made {
        Ok(()) => Some(python),
        Err(error) => {
            println!("drivers are not tested: {error:#}");
            None
        }
    }
}

fn base() -> Option<PathBuf> {
    let versions = PathBuf::from(env::var_os("HOME")?).join(".pyenv/versions");
    let entries = fs::read_dir(versions).ok()?;
    entries.flatten().find_map(|entry| {
        let named = entry.file_name().to_string_lossy().starts_with(VERSION);
        named.then(|| entry.path().join("bin/python"))
    })
}
