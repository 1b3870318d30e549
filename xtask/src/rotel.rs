//! rotel, a collector of OpenTelemetry, for the end-to-end tests.

use std::path::PathBuf;

use crate::venv::Venv;

/// Its wheel has a program that is linked to this version's library.
const VERSION: &str = "3.12";

/// The interpreter of a virtual environment with it, made when it is not there yet. `None`, and said so, where that is
/// not possible.
pub fn python() -> Option<PathBuf> {
    let venv = Venv {
        folder: "rotel".into(),
        version: VERSION.into(),
        packages: "rotel".into(),
    };
    venv.python().unwrap_or_else(|error| {
        println!("nothing is sent to rotel: {error:#}");
        None
    })
}
