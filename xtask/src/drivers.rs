//! A Python with database drivers and other extension modules, for the end-to-end tests.

use std::path::PathBuf;

use crate::venv::Venv;

/// What is installed: the packages of the drivers that the catalogue knows and that come as wheels, and what reads Parquet
/// files and drives a browser.
const PACKAGES: &[&str] = &[
    "hiredis",
    "lxml",
    "numpy",
    "orjson",
    "psycopg[binary]",
    "psycopg2-binary",
    "pyarrow",
    "pymongo",
    "selenium",
    "uvloop",
];
/// The interpreter that all of them have wheels for.
const VERSION: &str = "3.12";

/// The interpreter of a virtual environment with them, made when it is not there yet. `None`, and said
/// so, where that is not possible: no such Python, or no package index.
pub fn python() -> Option<PathBuf> {
    let venv = Venv {
        folder: "drivers".into(),
        version: VERSION.into(),
        packages: PACKAGES.join("\n"),
    };
    venv.python().unwrap_or_else(|error| {
        println!("drivers are not tested: {error:#}");
        None
    })
}
