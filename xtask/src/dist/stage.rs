//! The tree of files that all packages are made of, as it is below `/`.
//!
//! What is shipped is the binary that was tested, without the sections that only a debugger reads: those are a file of their own, which
//! it names (`.gnu_debuglink`).

use std::{
    fs,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::{copy, empty, folder, glibc, glibc::Floor, sources, write};
use crate::shell;

/// Shells, what completes for them, and where they look.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/pytrace-ebpf"),
    ("zsh", "usr/share/zsh/vendor-completions/_pytrace-ebpf"),
    ("fish", "usr/share/fish/vendor_completions.d/pytrace-ebpf.fish"),
];
const MAN: &str = "usr/share/man/man1";
const DOC: &str = "usr/share/doc/pytrace-ebpf";
/// Pages and licences, of the workspace.
const DOCUMENTS: [&str; 5] = [
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "docs/deploy.md",
];

pub struct Stage {
    /// `target/dist/stage`.
    pub folder: PathBuf,
    /// The debug information.
    pub debug: PathBuf,
    pub glibc: Floor,
}

impl Stage {
    /// Makes it of a binary, which prints its own pages and completions.
    pub fn make(binary: &Path) -> anyhow::Result<Self> {
        let stage = Self {
            folder: empty("stage")?,
            debug: folder().join("pytrace-ebpf.debug"),
            glibc: glibc::floor(binary)?,
        };
        strip(binary, &stage.binary(), &stage.debug)?;
        stage.pages()?;
        for (shell, path) in COMPLETIONS {
            write(&stage.folder.join(path), stage.printed(&["completions", shell])?)?;
        }
        for document in DOCUMENTS {
            let from = shell::root().join(document);
            let name = from.file_name().context("a document has a name")?;
            copy(&from, &stage.folder.join(DOC).join(name))?;
        }
        let unit = "pytrace-ebpf-agent.service";
        copy(
            &sources().join("systemd").join(unit),
            &stage.folder.join("usr/lib/systemd/system").join(unit),
        )?;
        let config = stage.folder.join("etc/pytrace-ebpf/agent.toml");
        copy(&sources().join("agent.toml"), &config)?;
        // It may hold secrets.
        fs::set_permissions(&config, Permissions::from_mode(0o600))?;
        let (major, minor) = stage.glibc.version;
        println!(
            "needs glibc {major}.{minor} ({} symbols of it, such as {})",
            stage.glibc.symbols.len(),
            stage.glibc.symbols.first().map_or("", String::as_str)
        );
        Ok(stage)
    }

    pub fn binary(&self) -> PathBuf {
        self.folder.join("usr/bin/pytrace-ebpf")
    }

    /// The manual pages, of the tool and of each command that its own page lists.
    fn pages(&self) -> anyhow::Result<()> {
        let main = self.printed(&["man"])?;
        let mut commands = commands(&String::from_utf8_lossy(&main));
        ensure!(!commands.is_empty(), "the manual page lists no commands");
        commands.retain(|command| command != "help");
        let man = self.folder.join(MAN);
        write(&man.join("pytrace-ebpf.1"), main)?;
        for command in &commands {
            let page = man.join(format!("pytrace-ebpf-{command}.1"));
            write(&page, self.printed(&["man", command])?)?;
        }
        let pages: Vec<PathBuf> = fs::read_dir(&man)?.flatten().map(|entry| entry.path()).collect();
        shell::run(Command::new("gzip").args(["-9", "-n"]).args(pages))
    }

    fn printed(&self, args: &[&str]) -> anyhow::Result<Vec<u8>> {
        let output = Command::new(self.binary())
            .args(args)
            .output()
            .context("cannot run the binary")?;
        ensure!(output.status.success(), "{args:?}: {}", output.status);
        Ok(output.stdout)
    }
}

/// What a debugger reads goes to `debug`, all else to `to`.
fn strip(binary: &Path, to: &Path, debug: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(debug);
    super::write_folder(to)?;
    shell::run(
        Command::new("objcopy")
            .args(["--only-keep-debug", "--compress-debug-sections=zlib"])
            .args([binary, debug]),
    )?;
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(debug);
    shell::run(
        Command::new("objcopy")
            .arg("--strip-all")
            .arg(link)
            .args([binary, to]),
    )
}

/// `pytrace\-ebpf\-NAME(1)` at the beginning of a line.
fn commands(page: &str) -> Vec<String> {
    let named = page.lines().filter_map(|line| {
        let name = line.strip_prefix("pytrace\\-ebpf\\-")?.strip_suffix("(1)")?;
        Some(name.replace("\\-", "-"))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_page() {
        let page = ".TP\npytrace\\-ebpf\\-run(1)\nStart\n.TP\npytrace\\-ebpf\\-two\\-words(1)\n\\fBpytrace\\-ebpf\\fR\n";
        assert_eq!(commands(page), ["run", "two-words"]);
    }
}
