//! Virtual environments with packages that the end-to-end tests use.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::Context as _;

use crate::shell;

/// A virtual environment under `target/`.
pub struct Venv {
    /// Its folder there.
    pub folder: String,
    /// Of which Python: `3.12` is the newest 3.12 under `~/.pyenv/versions`.
    pub version: String,
    /// What pip is to install, one a line as in a requirements file.
    pub packages: String,
}

impl Venv {
    /// Its interpreter; made when it is not there yet or has other packages. `None`, and said so, where there is no
    /// such Python.
    pub fn python(&self) -> anyhow::Result<Option<PathBuf>> {
        let folder = shell::root().join("target").join(&self.folder);
        let python = folder.join("bin/python");
        let stamp = folder.join("packages.txt");
        if python.exists() && fs::read_to_string(&stamp).is_ok_and(|packages| packages == self.packages) {
            return Ok(Some(python));
        }
        let Some(base) = self.base() else {
            println!("no Python {} under ~/.pyenv/versions", self.version);
            return Ok(None);
        };
        println!("installing packages into {}", folder.display());
        shell::run(Command::new(base).args(["-m", "venv", "--clear"]).arg(&folder))?;
        let wanted = folder.join("wanted.txt");
        fs::write(&wanted, &self.packages)?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install
            .args(["--only-binary", ":all:", "--requirement"])
            .arg(&wanted);
        shell::run(&mut install).with_context(|| format!("installing packages for {}", self.version))?;
        fs::rename(wanted, stamp)?;
        Ok(Some(python))
    }

    fn base(&self) -> Option<PathBuf> {
        let versions = PathBuf::from(env::var_os("HOME")?).join(".pyenv/versions");
        let prefix = format!("{}.", self.version);
        let entries = fs::read_dir(versions).ok()?.flatten();
        let fitting = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let newest = fitting.map(|entry| entry.path()).max()?;
        Some(newest.join("bin/python"))
    }
}
