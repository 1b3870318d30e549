//! `cargo xtask layouts`: writes `tracer-user/layouts/cpython-3.N.json` and `tracer-user/opcodes/cpython-3.N.json`
//! from CPython's own headers.
//!
//! For every minor version it asks gcc for `offsetof` of each field in [`fields::FIELDS`]. A field may
//! be spelled differently from version to version: the first spelling that compiles counts, and a
//! field without one is left out of the file (the loader then knows it as absent).

mod compiler;
mod fields;
mod opcodes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use compiler::Answers;

/// Asks an interpreter for the name of its layout (`3.8`, `3.14t`), its full version and the directories of its headers.
const ASK: &str = "\
import sys, sysconfig
print('%d.%d%s' % (sys.version_info[:2] + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else '',)))
print(sys.version.split()[0])
print(sysconfig.get_paths()['include'])
print(sysconfig.get_paths()['platinclude'])
print(int(hasattr(sys, 'gettotalrefcount')))
";

/// An interpreter whose headers are there.
struct Source {
    /// Minor version, and `t` for a free-threaded build: the name of its layout file.
    name: String,
    version: String,
    include: Vec<String>,
}

/// Writes a layout file for every interpreter under `~/.pyenv/versions` and in `PYTRACE_PYTHONS`. With
/// `check` it writes nothing, and fails where a file differs from what the headers say.
pub fn run(check: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask has no parent directory")?;
    let sources = sources()?;
    ensure!(
        !sources.is_empty(),
        "no interpreter with headers under ~/.pyenv/versions"
    );
    for source in sources {
        opcodes::write(root, &source, check)?;
        let json = layout(&source)?;
        let path = root.join(format!("tracer-user/layouts/cpython-{}.json", source.name));
        if !check {
            fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))?;
            eprintln!("{} from CPython {}", path.display(), source.version);
            continue;
        }
        let stored = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(
            facts(&stored) == facts(&json),
            "{} is not what the headers of CPython {} say: run `cargo xtask layouts`",
            path.display(),
            source.version
        );
        println!(
            "LAYOUT: {} as in the headers of CPython {}",
            source.name, source.version
        );
    }
    Ok(())
}

/// A layout file without the line that names its compiler.
fn facts(json: &str) -> Vec<&str> {
    json.lines()
        .filter(|line| !line.contains("\"provenance\""))
        .collect()
}

/// The newest interpreter of each layout.
fn sources() -> Result<Vec<Source>> {
    let pyenv = PathBuf::from(std::env::var("HOME").context("HOME is not set")?).join(".pyenv/versions");
    let mut pythons: Vec<PathBuf> = fs::read_dir(&pyenv)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin/python"))
        .collect();
    let extra = std::env::var("PYTRACE_PYTHONS").unwrap_or_default();
    pythons.extend(
        extra
            .split(':')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
    );
    let mut newest: BTreeMap<String, (u32, Source)> = BTreeMap::new();
    for python in pythons.iter().filter(|python| python.exists()) {
        let output = Command::new(python).args(["-c", ASK]).output()?;
        let text = String::from_utf8(output.stdout)?;
        let lines: Vec<&str> = text.lines().collect();
        let [name, version, include, platform, debug] = lines[..] else {
            bail!("{} does not answer", python.display());
        };
        if debug != "0" || !Path::new(include).join("Python.h").exists() {
            continue;
        }
        let patch = version.split('.').nth(2).unwrap_or_default();
        let patch = patch
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .unwrap_or_default()
            .parse()?;
        if newest.get(name).is_none_or(|(found, _)| *found < patch) {
            let source = Source {
                name: name.to_owned(),
                version: version.to_owned(),
                include: vec![include.to_owned(), platform.to_owned()],
            };
            newest.insert(name.to_owned(), (patch, source));
        }
    }
    Ok(newest.into_values().map(|(_, source)| source).collect())
}

fn layout(source: &Source) -> Result<String> {
    let dir = std::env::temp_dir().join(format!("pytrace-layouts-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let result = compiler::answers_to(&dir, source).and_then(|answers| render(source, &answers));
    fs::remove_dir_all(&dir)?;
    result
}

fn render(source: &Source, answers: &Answers) -> Result<String> {
    let dump = |argument: &str| -> Result<String> {
        let output = Command::new("gcc").arg(argument).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    let mut json = String::from("{\n");
    writeln!(json, "  \"version\": \"{}\",", source.name)?;
    writeln!(
        json,
        "  \"provenance\": \"cargo xtask layouts: offsetof over the headers of CPython {}, gcc {}, {}\",",
        source.version,
        dump("-dumpfullversion")?,
        dump("-dumpmachine")?
    )?;
    let object = |lines: Vec<String>| match lines.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{}\n  }}", lines.join(",\n")),
    };
    let offsets = answers
        .offsets
        .iter()
        .map(|(key, value)| format!("    \"{key}\": {value}"));
    writeln!(json, "  \"offsets\": {},", object(offsets.collect()))?;
    let debug = answers
        .debug
        .iter()
        .map(|(key, [field, size])| format!("    \"{key}\": [{field}, {size}]"));
    writeln!(json, "  \"debug_offsets\": {}", object(debug.collect()))?;
    json.push_str("}\n");
    Ok(json)
}
