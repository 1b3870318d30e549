//! `cargo xtask regress`: CPython's own regression tests, as they are and under `run -e all`. The tool must not change
//! what becomes of a single case.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

use crate::{
    build,
    environment::command,
    regrtest::{self, Difference, Modules, Outcomes, Way},
    shell,
};

/// One of each kind of object layout, as they are called under `~/.pyenv/versions`.
const VERSIONS: [&str; 4] = ["3.8.", "3.11.", "3.12.", "3.13."];
/// What would show harm first comes first. Names that a version does not have are left out there.
const MODULES: [&str; 18] = [
    "test_generators",
    "test_exceptions",
    "test_gc",
    "test_signal",
    "test_fork1",
    "test_threading",
    "test_ctypes",
    "test_builtin",
    "test_capi",
    "test_io",
    "test_os",
    "test_mmap",
    "test_sqlite",
    "test_sqlite3",
    "test_socket",
    "test_ssl",
    "test_subprocess",
    "test_asyncio",
];
/// Modules that start children, which are traced too then.
const FOLLOWED: [&str; 10] = [
    "test_fork1",
    "test_signal",
    "test_threading",
    "test_subprocess",
    "test_eintr",
    "test_posix",
    "test_wait4",
    "test_faulthandler",
    "test_pty",
    "test_sys",
];
/// A module is ended after so long. Under trace everything in it takes a few times longer than without.
const TIMEOUT_SECS: u32 = 3600;
/// So often a module with differences is run, on both sides: a case that differs each time does so because of the tool.
const ROUNDS: u32 = 3;

/// After the tool, its guard and whatever else it started end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Runs the modules on the interpreters, prints a table; an error when something differs each time. `follow`: children
/// are traced too.
pub fn run(pythons: Vec<PathBuf>, follow: bool, modules: &[String]) -> anyhow::Result<()> {
    if !shell::is_root() {
        bail!("tracing needs root; run `sudo -E cargo xtask regress`");
    }
    let pythons = if pythons.is_empty() { installed() } else { pythons };
    if ignores_interrupts()? {
        bail!(
            "SIGINT is ignored here, as in the background of a shell script, and some tests would wait for ever"
        );
    }
    let named: Vec<&str> = modules.iter().map(String::as_str).collect();
    let plan: Vec<(Way, &[&str])> = match (named.is_empty(), follow) {
        (false, false) => vec![(Way::Traced, &named)],
        (false, true) => vec![(Way::Followed, &named)],
        (true, false) => vec![(Way::Traced, &MODULES), (Way::Followed, &FOLLOWED)],
        (true, true) => vec![(Way::Followed, &FOLLOWED)],
    };
    let mut differing = 0;
    for (way, modules) in plan {
        for name in modules {
            for python in &pythons {
                let module = Modules {
                    python,
                    names: &[name],
                    timeout_secs: TIMEOUT_SECS,
                };
                if module.exist() {
                    differing += compare(&module, way)?;
                } else if !named.is_empty() {
                    println!("{} has no {name} that could be run", python.display());
                }
            }
        }
    }
    println!("{differing} differences that were there each time");
    if differing > 0 {
        bail!(
            "outcomes differ; what was printed is under {}",
            folder().display()
        );
    }
    Ok(())
}

/// Whether programs started from here ignore SIGINT.
fn ignores_interrupts() -> anyhow::Result<bool> {
    const SIGINT: u64 = 1 << (2 - 1);
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap_or("0").trim(), 16)?;
    Ok(ignored & SIGINT != 0)
}

fn folder() -> PathBuf {
    shell::root().join("target/regress")
}

/// The newest interpreter of each of [`VERSIONS`] that is there.
fn installed() -> Vec<PathBuf> {
    let versions = PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".pyenv/versions");
    let names: Vec<String> = fs::read_dir(&versions)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let newest = |prefix: &&str| names.iter().filter(|name| name.starts_with(*prefix)).max();
    VERSIONS
        .iter()
        .filter_map(newest)
        .map(|name| versions.join(name).join("bin/python3"))
        .collect()
}

/// Runs a module on both sides, more than once if they differ; prints a row. How many cases differed each time.
fn compare(module: &Modules, way: Way) -> anyhow::Result<usize> {
    // By the name of the case, one for each time.
    let mut seen: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    for round in 1..=ROUNDS {
        let (untraced, traced, row) = both(module, way, round)?;
        for (name, difference) in untraced.differences(&traced) {
            seen.entry(name).or_default().push(difference);
        }
        println!("{row}");
        if seen.is_empty() {
            return Ok(0);
        }
    }
    for (name, differences) in &seen {
        let shown: Vec<String> = differences.iter().map(Difference::to_string).collect();
        println!(
            "    {} of {ROUNDS} times: {name}: {}",
            shown.len(),
            shown.join("; ")
        );
    }
    let each_time = seen.values().filter(|times| times.len() == ROUNDS as usize);
    Ok(each_time.count())
}

/// One round: without and with trace, and what to print of it.
fn both(module: &Modules, way: Way, round: u32) -> anyhow::Result<(Outcomes, Outcomes, String)> {
    let version = version_of(module.python);
    let name = module.names.join("+");
    let folder = folder().join(&version).join(&name);
    let tool = build::binary();
    let run = |way| {
        let before = Instant::now();
        let outcomes = module.run(way, &tool, &folder, round, |program| command(program))?;
        anyhow::Ok((outcomes, before.elapsed().as_secs()))
    };
    let (untraced, alone) = run(Way::Untraced)?;
    let (traced, with_tool) = run(way)?;
    all_ends(&tool)?;
    let row = format!(
        "{version:7} {name:16} {:8} {:5} cases, exit code {}, {alone:4} s / {with_tool:4} s, {} differ; {}",
        way.name(),
        untraced.cases(),
        untraced.exit(),
        untraced.differences(&traced).len(),
        traced.summary
    );
    Ok((untraced, traced, row))
}

/// Waits until no process of the tool is there any more: what guards it ends after it.
fn all_ends(tool: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let left = regrtest::running(tool);
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the tool has ended, but not all of it: {left:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// `3.8.18` of `…/versions/3.8.18/bin/python3`; the whole path, as one name, of any other.
fn version_of(python: &Path) -> String {
    let versions = python.parent().and_then(Path::parent).and_then(Path::file_name);
    match versions {
        Some(name) if name.to_string_lossy().starts_with('3') => name.to_string_lossy().into_owned(),
        _ => python
            .display()
            .to_string()
            .trim_start_matches('/')
            .replace('/', "-"),
    }
}
