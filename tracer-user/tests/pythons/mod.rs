//! The interpreters that tests run on, the one list for all of them.

use std::{env, fs, path::PathBuf};

/// Debian's Python, every version under `~/.pyenv/versions`, and those of `PYTRACE_PYTHONS` (`/path:/path`).
pub fn all() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    let versions = env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv/versions"));
    let mut installed: Vec<PathBuf> = versions
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/python"))
        .collect();
    installed.sort();
    found.extend(installed);
    let extra = env::var("PYTRACE_PYTHONS").unwrap_or_default();
    found.extend(
        extra
            .split(':')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    );
    found.retain(|path| path.exists());
    found
}
