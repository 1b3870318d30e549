//! Opcode numbers, from the header that CPython generates its own dispatch table with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::Source;

/// Defines in these headers that are no opcodes (Include/opcode.h and opcode_ids.h, 2.7 to 3.15): bounds, build
/// options, and the operators that `BINARY_OP` takes as its argument.
const NO_OPCODES: &[&str] = &["HAVE_ARGUMENT", "MIN_", "ENABLE_SPECIALIZATION", "NB_"];

/// The opcode file of a version.
pub(super) fn json(source: &Source) -> Result<String> {
    let mut json = String::from("{\n");
    writeln!(json, "  \"version\": \"{}\",", source.name)?;
    writeln!(
        json,
        "  \"provenance\": \"cargo xtask layouts: {} of CPython {}\",",
        header(source)?.0,
        source.version
    )?;
    let lines: Vec<String> = numbers(source)?
        .into_iter()
        .map(|(number, name)| format!("    \"{name}\": {number}"))
        .collect();
    writeln!(json, "  \"opcodes\": {{\n{}\n  }}", lines.join(",\n"))?;
    json.push_str("}\n");
    Ok(json)
}

/// `opcode_ids.h` (3.13+) or `opcode.h`: its name and its text.
fn header(source: &Source) -> Result<(&'static str, String)> {
    for name in ["opcode_ids.h", "opcode.h"] {
        for directory in &source.include {
            let path = Path::new(directory).join(name);
            if path.exists() {
                return Ok((name, fs::read_to_string(path)?));
            }
        }
    }
    bail!("CPython {} has no header with opcodes", source.version)
}

/// Opcodes that a byte can hold, by number: what is above 255 is gone once the compiler is done.
fn numbers(source: &Source) -> Result<BTreeMap<u8, String>> {
    let (_, text) = header(source)?;
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = define(line) else {
            continue;
        };
        if NO_OPCODES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Ok(number) = u8::try_from(value) else { continue };
        if let Some(other) = numbers.insert(number, name.to_owned()) {
            bail!(
                "{name} and {other} are both {number} in CPython {}",
                source.version
            );
        }
    }
    ensure!(numbers.len() > 100, "CPython {}: too few opcodes", source.version);
    Ok(numbers)
}

/// `#define NAME 12`, `#define NAME (12)`.
fn define(line: &str) -> Option<(&str, u32)> {
    let mut words = line.trim().strip_prefix('#')?.split_whitespace();
    (words.next()? == "define").then_some(())?;
    let name = words.next()?;
    let value = words.next()?.trim_matches(['(', ')']);
    Some((name, value.parse().ok()?))
}

/// Writes the opcode file of a version, or checks it.
pub(super) fn write(root: &Path, source: &Source, check: bool) -> Result<()> {
    // A free-threaded build has the opcodes of its version.
    if source.name.ends_with('t') {
        return Ok(());
    }
    let path = root.join(format!("tracer-user/opcodes/cpython-{}.json", source.name));
    let json = json(source)?;
    if !check {
        return fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()));
    }
    let stored = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        super::facts(&stored) == super::facts(&json),
        "{} is not what the headers of CPython {} say: run `cargo xtask layouts`",
        path.display(),
        source.version
    );
    Ok(())
}
