//! What the end-to-end tests on real programs need: Pythons with the packages that those import, and a database server.

use std::{env, ffi::OsString, fs, path::Path};

use anyhow::Context as _;

use crate::{setup, shell, venv::Venv};

/// Debian packages of the servers, tools, the terminal and the browser that the end-to-end tests start.
const DEBIAN_PACKAGES: [&str; 5] = ["chromium", "chromium-driver", "postgresql", "strace", "tmux"];

/// Where Debian's package looks before it makes a database of its own and starts it, which nobody here asked for.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";

/// Installs those servers, and starts none; elsewhere than on Debian the tests take what is there.
pub fn servers() -> anyhow::Result<()> {
    if !setup::debian() || DEBIAN_PACKAGES.into_iter().all(setup::installed) {
        return Ok(());
    }
    if !Path::new(CLUSTERS).exists() {
        let write =
            format!("mkdir -p \"$(dirname {CLUSTERS})\" && echo 'create_main_cluster = false' > {CLUSTERS}");
        shell::run(shell::as_root("sh").args(["-c", &write]))?;
    }
    setup::packages(&DEBIAN_PACKAGES)
}

/// The interpreters, `:` between them: one for each `3.N.txt` of `tests/packages` whose Python is here.
///
/// # Errors
///
/// Where a Python is here and its packages cannot be installed: then the tests would be fewer, and nobody told.
pub fn pythons() -> anyhow::Result<OsString> {
    let folder = shell::root().join("tests/packages");
    let mut lists: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    lists.sort();
    let mut pythons = Vec::new();
    for list in lists {
        let version = list
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let venv = Venv {
            folder: format!("packages/{version}"),
            version,
            packages: fs::read_to_string(&list)?,
        };
        pythons.extend(venv.python()?);
    }
    Ok(env::join_paths(pythons)?)
}
