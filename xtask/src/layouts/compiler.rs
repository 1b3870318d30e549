//! Asking a version's own headers, by way of gcc.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Source;
use super::fields::{DEBUG_OFFSETS, FIELDS, PREAMBLE};

/// One question to the compiler: the index of its field, and the C expression.
type Question = (usize, String);

/// By layout key: offsets, and the words of a field and of its struct's size in `_Py_DebugOffsets`.
#[derive(Default)]
pub(super) struct Answers {
    pub offsets: BTreeMap<&'static str, u64>,
    pub debug: BTreeMap<&'static str, [u64; 2]>,
}

/// Answers for all fields that the version has. `dir` is for the compiler's files.
pub(super) fn answers_to(dir: &Path, source: &Source) -> Result<Answers> {
    let all = questions();
    let bad = rejected(dir, source, &all)?;
    let good: Vec<Question> = all
        .into_iter()
        .enumerate()
        .filter_map(|(n, question)| (!bad.contains(&n)).then_some(question))
        .collect();
    let mut found = Answers::default();
    let values = answers(dir, source, &good)?;
    let mut pairs = good.iter().zip(values);
    while let Some(((field, _), value)) = pairs.next() {
        match FIELDS.get(*field) {
            // Spellings come in the order of preference: the first one stays.
            Some((key, _)) => {
                found.offsets.entry(key).or_insert(value);
            }
            None => {
                let (key, ..) = DEBUG_OFFSETS[*field - FIELDS.len()];
                let (_, size) = pairs.next().context("a struct without a size")?;
                found.debug.insert(key, [value / 8, size / 8]);
            }
        }
    }
    Ok(found)
}

/// `BIT(type, word, member)`: how far up in the 32-bit word at `word` the bit field `member` begins.
/// Written out here, as gcc's messages name the line of a macro and not of its use.
fn bit(spelling: &str) -> Option<String> {
    let mut arguments = spelling.strip_prefix("BIT(")?.strip_suffix(')')?.split(", ");
    let (object, word, member) = (arguments.next()?, arguments.next()?, arguments.next()?);
    Some(format!(
        "({{ union {{ {object} object; unsigned char bytes[sizeof({object})]; }} u; unsigned w; \
         memset(&u, 0, sizeof u); u.object.{member} = 1; \
         memcpy(&w, u.bytes + offsetof({object}, {word}), 4); (unsigned long)__builtin_ctz(w); }})"
    ))
}

fn questions() -> Vec<Question> {
    let mut all = Vec::new();
    for (n, (key, spellings)) in FIELDS.iter().enumerate() {
        match key.split_once('.') {
            Some((object, field)) if spellings.is_empty() => {
                all.push((n, format!("offsetof({object}, {field})")));
            }
            _ => all.extend(
                spellings
                    .iter()
                    .map(|s| (n, bit(s).unwrap_or_else(|| (*s).to_owned()))),
            ),
        }
    }
    for (n, (_, object, member)) in DEBUG_OFFSETS.iter().enumerate() {
        // Both are there or neither: the size is asked for through the member.
        let at = format!("offsetof(_Py_DebugOffsets, {object}.{member})");
        all.push((FIELDS.len() + n, at.clone()));
        all.push((
            FIELDS.len() + n,
            format!("{at} * 0 + offsetof(_Py_DebugOffsets, {object})"),
        ));
    }
    all
}

/// Indices of the questions that do not compile: the version has no such field.
fn rejected(dir: &Path, source: &Source, questions: &[Question]) -> Result<BTreeSet<usize>> {
    // A #line directive gives each question a line number of its own in the error messages.
    let mut text = PREAMBLE.to_owned();
    for (n, (_, expression)) in questions.iter().enumerate() {
        writeln!(
            text,
            "#line {} \"question\"\nunsigned long q{n}(void) {{ return {expression}; }}",
            n + 1
        )?;
    }
    let path = dir.join("ask.c");
    fs::write(&path, text)?;
    let output = gcc(source)
        .args(["-fsyntax-only", "-fmax-errors=0"])
        .arg(&path)
        .output()
        .context("cannot run gcc: install it (apt-get install gcc)")?;
    let messages = String::from_utf8_lossy(&output.stderr);
    let mut bad = BTreeSet::new();
    for line in messages.lines().filter(|line| line.contains("error:")) {
        let number = line
            .strip_prefix("question:")
            .and_then(|rest| rest.split(':').next())
            .and_then(|number| number.parse::<usize>().ok());
        match number {
            Some(number) => bad.insert(number - 1),
            None => bail!("headers of CPython {} do not compile: {line}", source.version),
        };
    }
    Ok(bad)
}

/// Compiles and runs a program that prints every expression's value.
fn answers(dir: &Path, source: &Source, questions: &[Question]) -> Result<Vec<u64>> {
    let mut text = format!("{PREAMBLE}int main(void) {{\n");
    for (_, expression) in questions {
        writeln!(text, "printf(\"%lu\\n\", (unsigned long)({expression}));")?;
    }
    text.push_str("return 0;\n}\n");
    let (path, program) = (dir.join("answer.c"), dir.join("answer"));
    fs::write(&path, text)?;
    let output = gcc(source).arg(&path).arg("-o").arg(&program).output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = Command::new(&program).output()?;
    ensure!(output.status.success(), "{} failed", program.display());
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| Ok(line.parse::<u64>()?)).collect()
}

fn gcc(source: &Source) -> Command {
    let mut gcc = Command::new("gcc");
    gcc.env("LC_ALL", "C").args(["-w", "-O0"]);
    for include in &source.include {
        gcc.arg("-I").arg(include);
    }
    gcc
}
