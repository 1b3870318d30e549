//! `cargo xtask dist --check`: what was built is installed where nothing else of us is, and traces from there (as root).

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, ensure};

use super::{Stage, VERSION, What, deb, folder, root::Root, wheel};
use crate::shell;

/// A program that shows that it is traced, and what it writes when it was not in the way.
const PROGRAM: &str = "open('/etc/hostname').read(); print('it ran')";

/// Tries these, those that can be tried here.
pub fn run(wanted: &[What], stage: &Stage) -> anyhow::Result<()> {
    ensure!(
        shell::is_root(),
        "packages are tried as root: sudo -E cargo xtask dist --check"
    );
    for what in wanted {
        match what {
            What::Deb => package()?,
            What::Wheel => wheels(stage)?,
            What::Tarball => tarball()?,
            What::Image => {
                println!("SKIPPED: image: it is not built here, its steps are those of the tarball")
            }
            What::Chart => {
                println!("chart: linted and validated as it was made, tests/tests/dist.rs has more")
            }
        }
    }
    Ok(())
}

/// Runs it; what it wrote, if it succeeded.
fn output(command: &mut Command) -> anyhow::Result<Output> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// The version is ours, `doctor` finds nothing that tracing lacks, and a program is traced, started by the tool.
fn works(what: &str, tool: &dyn Fn() -> Command, python: &Path) -> anyhow::Result<()> {
    let version = output(tool().arg("--version"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    ensure!(version == format!("pytrace-ebpf {VERSION}"), "{what}: {version}");
    output(tool().arg("doctor"))?;
    let ran = output(
        tool()
            .args(["run", "--format", "json", "--"])
            .arg(python)
            .args(["-c", PROGRAM]),
    )?;
    ensure!(ran.stdout == b"it ran\n", "{what}: the program wrote {ran:?}");
    let events = String::from_utf8_lossy(&ran.stderr);
    let seen = events
        .lines()
        .any(|line| line.contains("\"path\":\"/etc/hostname\""));
    ensure!(seen, "{what}: no event of the file it opened:\n{events}");
    println!(
        "{what}: --version, doctor and run work, with {}",
        python.display()
    );
    Ok(())
}

/// Installed, upgraded, removed and purged by dpkg in a minimal Debian; what it needs is there already.
fn package() -> anyhow::Result<()> {
    let root = Root::make()?;
    let file = root.bring(&deb::package())?;
    output(root.command("dpkg").args(["--install", &file]))?;
    works(
        "deb",
        &|| root.command("pytrace-ebpf"),
        Path::new("/usr/bin/python3"),
    )?;
    let config = root.at("/etc/pytrace-ebpf/agent.toml");
    let mode = fs::metadata(&config)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "agent.toml has mode {mode:o}");
    output(root.command("pytrace-ebpf").args(["agent", "--check"]))?;
    let enabled = root.at("/etc/systemd/system/multi-user.target.wants/pytrace-ebpf-agent.service");
    ensure!(
        fs::symlink_metadata(&enabled).is_err(),
        "the service is enabled by itself"
    );
    ensure!(
        root.at("/usr/lib/systemd/system/pytrace-ebpf-agent.service")
            .exists()
            || root.at("/lib/systemd/system/pytrace-ebpf-agent.service").exists(),
        "there is no unit"
    );

    let changed = "# changed here\n";
    fs::write(&config, changed)?;
    fs::create_dir_all(root.at("/var/lib/pytrace-ebpf"))?;
    fs::write(root.at("/var/lib/pytrace-ebpf/spool.sqlite"), "unsent")?;
    output(root.command("dpkg").args(["--install", &file]))?;
    ensure!(
        fs::read_to_string(&config)? == changed,
        "an upgrade changed agent.toml"
    );
    output(root.command("dpkg").args(["--remove", "pytrace-ebpf"]))?;
    ensure!(config.exists(), "agent.toml went with the package");
    ensure!(
        root.at("/var/lib/pytrace-ebpf/spool.sqlite").exists(),
        "what was not sent went with the package"
    );
    output(root.command("dpkg").args(["--purge", "pytrace-ebpf"]))?;
    for gone in [
        "/etc/pytrace-ebpf",
        "/var/lib/pytrace-ebpf",
        "/usr/bin/pytrace-ebpf",
    ] {
        ensure!(!root.at(gone).exists(), "{gone} is left behind");
    }
    println!("deb: installed, upgraded, removed and purged, nothing left behind");
    Ok(())
}

/// The pythons under `~/.pyenv/versions` that have wheels at all.
fn pythons() -> anyhow::Result<Vec<PathBuf>> {
    let versions = PathBuf::from(env::var_os("HOME").context("there is no HOME")?).join(".pyenv/versions");
    let mut found = vec![PathBuf::from("/usr/bin/python3")];
    for name in ["3.8", "3.12", "3.13"] {
        let of = fs::read_dir(&versions).into_iter().flatten().flatten();
        let newest = of
            .map(|entry| entry.path())
            .filter(|path| {
                path.file_name()
                    .is_some_and(|file| file.to_string_lossy().starts_with(name))
            })
            .max();
        found.extend(newest.map(|path| path.join("bin/python")));
    }
    Ok(found)
}

/// Installed by pip, from the file alone, into a virtual environment of each Python.
fn wheels(stage: &Stage) -> anyhow::Result<()> {
    for python in pythons()? {
        let venv = super::empty("venv")?;
        output(Command::new(&python).args(["-m", "venv"]).arg(&venv))?;
        let bin = venv.join("bin");
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-index",
            "--disable-pip-version-check",
        ];
        output(Command::new(bin.join("python")).args(pip).arg(wheel::path(stage)))?;
        let what = format!("wheel in {}", python.display());
        works(
            &what,
            &|| Command::new(bin.join("pytrace-ebpf")),
            &bin.join("python"),
        )?;
        output(Command::new(bin.join("python")).args(["-m", "pip", "uninstall", "--yes", "pytrace-ebpf"]))?;
        ensure!(!bin.join("pytrace-ebpf").exists(), "{what}: pip left it behind");
        fs::remove_dir_all(venv)?;
    }
    Ok(())
}

/// Unpacked, it works where it is.
fn tarball() -> anyhow::Result<()> {
    let unpacked = super::empty("unpacked")?;
    let name = format!("pytrace-ebpf-{VERSION}-x86_64-linux");
    output(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(folder().join(format!("{name}.tar.gz")))
            .arg("--directory")
            .arg(&unpacked),
    )?;
    let tool = unpacked.join(name).join("bin/pytrace-ebpf");
    works("tarball", &|| Command::new(&tool), Path::new("/usr/bin/python3"))?;
    fs::remove_dir_all(unpacked)?;
    Ok(())
}
