//! A Debian of its own, in a folder, to install packages into and run what they bring.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::folder;
use crate::{setup, shell};

const RELEASE: &str = "bookworm";
/// Holds mounts: a namespace of its own, which ends with the command.
const INSIDE: &str =
    "mount --rbind /proc \"$0/proc\" && mount --rbind /sys \"$0/sys\" && exec chroot \"$0\" \"$@\"";

pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// The smallest Debian, made when it is not there yet, and copied: each try begins with the same.
    pub fn make() -> anyhow::Result<Self> {
        setup::packages(&["mmdebstrap"])?;
        let archive = folder().join(format!("{RELEASE}.tar"));
        if !archive.exists() {
            println!("making a minimal Debian {RELEASE}");
            let unfinished = archive.with_extension("part.tar");
            let mut make = Command::new("mmdebstrap");
            // A program to trace; our package brings none.
            make.args([
                "--quiet",
                "--variant=minbase",
                "--include=python3-minimal",
                RELEASE,
            ]);
            shell::run(make.arg(&unfinished)).context("making a minimal Debian")?;
            fs::rename(unfinished, &archive)?;
        }
        let root = super::empty("root")?;
        let mut unpack = Command::new("tar");
        unpack.arg("--extract").arg("--file").arg(&archive);
        shell::run(unpack.arg("--directory").arg(&root))?;
        Ok(Self { folder: root })
    }

    /// Where a path of it is from outside.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// A command in it, which sees the host's processes.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", INSIDE]);
        command.arg(&self.folder).arg(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C");
        command
    }

    /// Puts a file into its `/tmp`; the name there.
    pub fn bring(&self, file: &Path) -> anyhow::Result<String> {
        let name = file.file_name().context("a file has a name")?.to_string_lossy();
        let inside = format!("/tmp/{name}");
        super::copy(file, &self.at(&inside))?;
        Ok(inside)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            println!("{} is left behind: {error}", self.folder.display());
        }
    }
}
