//! Archives for hosts without a package manager that knows us, and for images.

use std::{path::PathBuf, process::Command};

use super::{Stage, VERSION, folder};
use crate::shell;

/// Of one folder, whose name tells the version; the same files give the same bytes.
pub fn make(stage: &Stage) -> anyhow::Result<Vec<PathBuf>> {
    let name = format!("pytrace-ebpf-{VERSION}-x86_64-linux");
    let archive = folder().join(format!("{name}.tar.gz"));
    // Below `usr` is what goes below a prefix; the example of a configuration stays beside.
    let renamed = format!("flags=r;s,^\\./usr,{name},;s,^\\./,{name}/,");
    let mut tar = reproducible();
    tar.arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&stage.folder);
    shell::run(tar.arg("--transform").arg(renamed).args(["./usr", "./etc"]))?;

    let debug = folder().join(format!("{name}-debug.tar.gz"));
    let mut tar = reproducible();
    tar.arg("--file").arg(&debug).arg("--directory").arg(folder());
    shell::run(tar.arg("pytrace-ebpf.debug"))?;
    Ok(vec![archive, debug])
}

fn reproducible() -> Command {
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
    ]);
    tar.args([
        "--mtime=@0",
        "--mode=u+rw,go-w",
        "--use-compress-program=gzip -9 -n",
    ]);
    tar
}
