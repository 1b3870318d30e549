//! The same environment for every program of a test, whatever the tests are started from.

use std::{ffi::OsStr, process::Command};

/// Variables that change what Python, pip or the tool do. `CI` makes terminals of CI services colourful.
const CHANGING: [&str; 9] = [
    "PYTHON",
    "PIP_",
    "LANG",
    "LC_",
    "NO_COLOR",
    "CLICOLOR",
    "COLORTERM",
    "FORCE_COLOR",
    "CI",
];

/// A command with what is inherited, but for what changes outputs; text is UTF-8, and nothing is written beside
/// programs.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if CHANGING.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command.envs([("LANG", "C.UTF-8"), ("PYTHONDONTWRITEBYTECODE", "1")]);
    command
}
