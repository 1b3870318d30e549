//! `cargo xtask vm`: the end-to-end tests on other kernels, in QEMU.
//!
//! Nothing of the machine is changed: Debian's kernels are downloaded and unpacked, not installed; a guest has a copy of this
//! system's programs on a disk of its own, whose changes are forgotten. It is emulated in software, some twenty times slower
//! than the machine, so only a part of the tests and of the interpreters is taken.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};

use crate::{build, pythons, setup, shell, test::Tally};

/// What it needs, beside what building does.
const PACKAGES: [&str; 5] = [
    "qemu-system-x86",
    "busybox-static",
    "cpio",
    "e2fsprogs",
    "xz-utils",
];
/// Kernels of Debian 12: its own, which has no `uprobe_multi` links, and the backported one.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// Interpreters in the guest, beside Debian's.
const PYTHONS: [&str; 3] = ["/2.7.", "/3.8.", "/3.12."];
/// Tests that need no packages and no long work: comings and goings, values, outcomes, frames, bytecodes, runs of functions.
const TESTS: [&str; 5] = ["slots", "late", "raising", "promised", "life"];
/// Of the system, without what is large and not needed.
const SYSTEM: [&str; 12] = [
    "bin",
    "sbin",
    "lib",
    "lib64",
    "etc",
    "usr/bin",
    "usr/sbin",
    "usr/lib64",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/python3",
    "usr/lib/python3.11",
    "usr/share/zoneinfo",
];
const LEFT_OUT: [&str; 7] = [
    "libLLVM*",
    "libclang*",
    "librustc*",
    "*.a",
    "*/valgrind",
    "*/dri",
    "__pycache__",
];
/// Modules that make the disk appear, in the order in which they need each other; what a kernel has built in is missing.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_modern_dev",
    "virtio_pci_legacy_dev",
    "virtio_pci",
    "virtio_blk",
];
/// Seconds until a guest is given up.
const LIMIT: &str = "5400";

/// The first program of a guest.
const INIT: &str = r#"#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
while read -r module; do $bb insmod "/modules/$module"; done < /modules/order
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $bb sleep 0.1; n=$((n+1)); done
$bb mkdir -p /root
$bb mount -t ext4 /dev/vda /root
cd /root
for what in proc:proc sysfs:sys devtmpfs:dev tmpfs:tmp tmpfs:run tmpfs:root/.cache; do
  $bb mkdir -p "${what#*:}"; $bb mount -t "${what%%:*}" none "${what#*:}"
done
$bb mkdir -p dev/pts dev/shm
$bb mount -t devpts none dev/pts
$bb mount -t tmpfs none dev/shm
$bb mount -t tracefs none sys/kernel/tracing
$bb mount -t cgroup2 none sys/fs/cgroup
$bb ifconfig lo 127.0.0.1 up
$bb chroot . /bin/bash /guest
$bb poweroff -f
"#;

/// Runs the tests (`only`: those whose files have these names) on each kernel, or on that one.
pub fn run(kernel: Option<&str>, only: &[String]) -> anyhow::Result<()> {
    ensure!(
        setup::debian(),
        "the kernels are Debian's: this is another system"
    );
    setup::packages(&PACKAGES)?;
    let wanted: Vec<&str> = match only {
        [] => TESTS.to_vec(),
        names => names.iter().map(String::as_str).collect(),
    };
    let tests = build_tests(&wanted)?;
    let folder = shell::root().join("target/vm");
    fs::create_dir_all(&folder)?;
    let pythons: Vec<PathBuf> = pythons::all()
        .into_iter()
        .filter(|python| {
            let text = python.to_string_lossy();
            text.starts_with("/usr/") || PYTHONS.iter().any(|version| text.contains(version))
        })
        .collect();
    let disk = disk(&folder, &tests, &pythons)?;
    let mut lines = Vec::new();
    let mut failed = 0;
    for series in KERNELS {
        if kernel.is_some_and(|kernel| kernel != series) {
            continue;
        }
        let (name, kernel) = unpacked(&folder, series)?;
        let initrd = initrd(&folder, &kernel)?;
        println!("== {name}");
        let (mut tally, ended) = boot(&kernel, &initrd, &disk)?;
        tally.must_have_run(&pythons);
        if !ended {
            lines.push(format!("{name}: the guest did not come to its end"));
        }
        failed += tally.failed + u64::from(!ended);
        lines.push(format!("{name}: {}", tally.counts()));
    }
    ensure!(
        !lines.is_empty(),
        "there is no such kernel here; there are {}",
        KERNELS.join(", ")
    );
    for line in lines {
        println!("{line}");
    }
    ensure!(failed == 0, "{failed} failed");
    Ok(())
}

/// Builds the tests with these names; where they are.
fn build_tests(names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let mut command = shell::cargo(&["test", "--no-run", "--package", "tests", "--message-format=json"]);
    for name in names {
        command.args(["--test", name]);
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    let executable = |line: &str| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    };
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(executable).collect())
}

/// A disk with the system, the interpreters, the tool and the tests.
fn disk(folder: &Path, tests: &[PathBuf], pythons: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let stage = folder.join("root");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    fs::create_dir_all(&stage)?;
    let relative = |path: &Path| path.strip_prefix("/").map(Path::to_owned).unwrap_or_default();
    let mut what: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    // Debian's is part of the system.
    for python in pythons.iter().filter(|python| !python.starts_with("/usr")) {
        what.extend(python.parent().and_then(Path::parent).map(relative));
    }
    what.push(relative(&shell::root().join("tests/programs")));
    what.push(relative(&build::binary()));
    what.extend(tests.iter().map(|test| relative(test)));
    let mut pack = Command::new("tar");
    pack.args(["-C", "/", "-c", "--ignore-failed-read"]);
    pack.args(LEFT_OUT.map(|pattern| format!("--exclude={pattern}")));
    // CPython's own tests.
    pack.arg("--exclude=lib/python*/test");
    let mut pack = pack
        .args(what)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run tar")?;
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(&stage).arg("-x");
    unpack.stdin(pack.stdout.take().context("tar has no output")?);
    shell::run(&mut unpack)?;
    ensure!(pack.wait()?.success(), "packing the guest's files failed");
    for empty in ["proc", "sys", "dev", "tmp", "run", "var/tmp"] {
        fs::create_dir_all(stage.join(empty))?;
    }
    let mut script = String::from("export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8\n");
    script.push_str(&format!("export PYTRACE_BIN={}\n", build::binary().display()));
    script.push_str(&format!("cd {}/tests\n", shell::root().display()));
    script.push_str("uname -r\n\"$PYTRACE_BIN\" doctor\n");
    for test in tests {
        script.push_str(&format!("{} --nocapture --test-threads=2\n", test.display()));
    }
    script.push_str("echo GUEST-ENDED\n");
    fs::write(stage.join("guest"), script)?;
    let disk = folder.join("disk.img");
    if disk.exists() {
        fs::remove_file(&disk)?;
    }
    let mut make = Command::new("/usr/sbin/mke2fs");
    make.args(["-q", "-t", "ext4", "-d"])
        .arg(&stage)
        .arg(&disk)
        .arg("6G");
    shell::run(&mut make)?;
    fs::remove_dir_all(&stage)?;
    Ok(disk)
}

/// Downloads and unpacks the newest kernel of a series: its name, and the folder.
fn unpacked(folder: &Path, series: &str) -> anyhow::Result<(String, PathBuf)> {
    let pattern = format!(
        "^linux-image-{}\\.[0-9].*-cloud-amd64$",
        series.replace('.', "\\.")
    );
    let found = Command::new("apt-cache")
        .args(["search", "--names-only", &pattern])
        .output()
        .context("cannot run apt-cache")?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    let numbers = |name: &str| -> Vec<u64> {
        name.split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    let newest = found
        .lines()
        .filter_map(|line| line.split(' ').next())
        .max_by_key(|name| numbers(name))
        .with_context(|| format!("Debian's packages have no kernel {series}; run `apt-get update`"))?;
    let kernel = folder.join(newest);
    if !kernel.join("boot").exists() {
        let mut download = Command::new("apt-get");
        shell::run(download.args(["-q", "download", newest]).current_dir(folder))?;
        let package = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{newest}_"))
            })
            .context("the kernel's package was not downloaded")?;
        shell::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&kernel))?;
        fs::remove_file(package)?;
    }
    Ok((newest.to_owned(), kernel))
}

/// The file in a folder's subfolders whose name begins so.
fn find(folder: &Path, start: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()? {
        let path = entry.ok()?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, start) {
                return Some(found);
            }
        } else if path.file_name()?.to_string_lossy().starts_with(start) {
            return Some(path);
        }
    }
    None
}

/// What a kernel begins with: a shell, and the modules for the disk.
fn initrd(folder: &Path, kernel: &Path) -> anyhow::Result<PathBuf> {
    let stage = folder.join("initrd");
    if stage.exists() {
        fs::remove_dir_all(&stage)?;
    }
    for name in ["bin", "modules", "dev", "proc"] {
        fs::create_dir_all(stage.join(name))?;
    }
    fs::copy("/bin/busybox", stage.join("bin/busybox"))?;
    let mut order = String::new();
    for module in MODULES {
        let Some(file) = find(&kernel.join("lib/modules"), &format!("{module}.ko")) else {
            continue;
        };
        let name = format!("{module}.ko");
        if file.extension().is_some_and(|extension| extension == "xz") {
            let output = Command::new("xz").arg("-dc").arg(&file).output()?;
            fs::write(stage.join("modules").join(&name), output.stdout)?;
        } else {
            fs::copy(&file, stage.join("modules").join(&name))?;
        }
        order.push_str(&format!("{name}\n"));
    }
    fs::write(stage.join("modules/order"), order)?;
    fs::write(stage.join("init"), INIT)?;
    let initrd = folder.join("initrd.gz");
    let mut pack = Command::new("sh");
    pack.args([
        "-ec",
        "chmod 755 init; find . | cpio -o -H newc --quiet | gzip -1 > \"$0\"",
    ]);
    shell::run(pack.arg(&initrd).current_dir(&stage))?;
    fs::remove_dir_all(&stage)?;
    Ok(initrd)
}

/// Runs a guest: what its tests said, and whether it came to its end.
fn boot(kernel: &Path, initrd: &Path, disk: &Path) -> anyhow::Result<(Tally, bool)> {
    let image = find(&kernel.join("boot"), "vmlinuz").context("the package has no kernel")?;
    let mut command = Command::new("timeout");
    // Two virtual processors, as threads of their own.
    command.args([
        LIMIT,
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=multi",
        "-cpu",
        "max",
    ]);
    command.args(["-smp", "2", "-m", "4096", "-display", "none", "-serial", "stdio"]);
    command.args(["-monitor", "none", "-no-reboot", "-net", "none", "-kernel"]);
    command.arg(image).arg("-initrd").arg(initrd);
    command.args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]);
    command.arg("-drive");
    command.arg(format!(
        "file={},format=raw,if=virtio,snapshot=on",
        disk.display()
    ));
    // Where the changes are that are forgotten.
    command.env("TMPDIR", disk.parent().map_or_else(env::temp_dir, Path::to_owned));
    let (mut tally, mut ended) = (Tally::default(), false);
    shell::run_seeing(command.stdin(Stdio::null()), |line| {
        tally.line(line);
        ended |= line.contains("GUEST-ENDED");
    })?;
    Ok((tally, ended))
}
