//! The wheel that carries the binary: `pip install pytrace-ebpf` puts it on the path.
//!
//! It has no Python code, hence one wheel for every Python 3 (`py3-none`), and its tag names the C library that the binary needs
//! (`manylinux_2_N_x86_64`, PEP 600). The package `wheel` writes the list of files and the archive, `auditwheel` is asked whether the
//! tag is true.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use super::{Stage, VERSION, copy, empty, folder, needed_python, write};
use crate::shell;

/// As the file of a wheel is named.
const NAME: &str = "pytrace_ebpf";

/// The tag, and with it the file's name.
fn tag(stage: &Stage) -> String {
    let (major, minor) = stage.glibc.version;
    format!("py3-none-manylinux_{major}_{minor}_x86_64")
}

/// Where it is.
pub fn path(stage: &Stage) -> PathBuf {
    folder().join(format!("{NAME}-{VERSION}-{}.whl", tag(stage)))
}

/// Builds it.
pub fn make(stage: &Stage) -> anyhow::Result<PathBuf> {
    let python = needed_python()?;
    let tree = empty("wheel")?;
    let data = tree.join(format!("{NAME}-{VERSION}.data"));
    copy(&stage.binary(), &data.join("scripts/pytrace-ebpf"))?;
    let man = stage.folder.join("usr/share/man/man1");
    for page in fs::read_dir(&man)?.flatten() {
        copy(
            &page.path(),
            &data.join("data/share/man/man1").join(page.file_name()),
        )?;
    }
    let info = tree.join(format!("{NAME}-{VERSION}.dist-info"));
    let licences = ["LICENSE-APACHE", "LICENSE-MIT"];
    for licence in licences {
        copy(&shell::root().join(licence), &info.join("licenses").join(licence))?;
    }
    let readme = fs::read_to_string(shell::root().join("README.md"))?;
    write(&info.join("METADATA"), metadata(&licences, &readme))?;
    let tags = format!(
        "Wheel-Version: 1.0\nGenerator: xtask\nRoot-Is-Purelib: false\nTag: {}\n",
        tag(stage)
    );
    write(&info.join("WHEEL"), tags)?;
    shell::run(
        Command::new(&python)
            // The same files give the same bytes.
            .env("SOURCE_DATE_EPOCH", "315532800")
            .args(["-m", "wheel", "pack", "--dest-dir"])
            .args([&folder(), &tree]),
    )?;
    let wheel = path(stage);
    ensure!(wheel.exists(), "there is no {}", wheel.display());
    audit(&python, &wheel, &tag(stage))?;
    Ok(wheel)
}

/// The fields of the core metadata, version 2.4; the description is the README.
fn metadata(licences: &[&str], readme: &str) -> String {
    let mut text = format!(
        "Metadata-Version: 2.4\nName: pytrace-ebpf\nVersion: {VERSION}\n\
         Summary: strace for Python: shows the side effects of a running CPython process, from the kernel\n\
         License-Expression: MIT OR Apache-2.0\n"
    );
    for licence in licences {
        text += &format!("License-File: {licence}\n");
    }
    text += "Requires-Python: >=3.7\nClassifier: Environment :: Console\nClassifier: Operating System :: POSIX :: Linux\n\
             Classifier: Topic :: Software Development :: Debuggers\nDescription-Content-Type: text/markdown\n\n";
    text + readme
}

/// Fails where auditwheel does not find the tag to be true.
fn audit(python: &Path, wheel: &Path, tag: &str) -> anyhow::Result<()> {
    let output = Command::new(python)
        .args(["-m", "auditwheel", "show"])
        .arg(wheel)
        .output()
        .context("cannot run auditwheel")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let platform = tag.rsplit('-').next().unwrap_or(tag);
    ensure!(
        output.status.success() && said.contains(platform),
        "auditwheel does not say {platform}:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_comes_behind_an_empty_line() {
        let text = metadata(&["LICENSE-MIT"], "# It\n");
        let (fields, description) = text.split_once("\n\n").unwrap();
        assert_eq!(description, "# It\n");
        assert!(fields.lines().all(|line| line.contains(": ")), "{fields}");
        assert!(fields.contains("\nLicense-File: LICENSE-MIT\n"), "{fields}");
    }
}
