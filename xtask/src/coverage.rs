//! `cargo xtask coverage`: which lines of the encoder and the decoder tests reach that need no root.
//!
//! Only the workspace's own crates are instrumented: this program stands in for rustc where cargo
//! compiles them (`RUSTC_WORKSPACE_WRAPPER`), so that the dependencies need not be built again.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::{setup, shell};

/// What is measured.
const MEASURED: [&str; 2] = ["tracer-common/src", "tracer-user/src/decode"];
/// The tests: of the libraries themselves, of the encoder, and of recordings.
const TESTS: [&str; 11] = [
    "--package=tracer-common",
    "--package=tracer-user",
    "--lib",
    "--test=attribution",
    "--test=decode",
    "--test=encode",
    "--test=encoding",
    "--test=frames",
    "--test=golden",
    "--quiet",
    "--message-format=json",
];
/// The file of the user half's own tests, of which only the decoder's matter here.
const USER_LIBRARY: &str = "tracer_user-";
/// Per cent of lines that must be reached.
const LEAST: f64 = 95.0;
/// Set where this program stands in for rustc.
const WRAPPER: &str = "PYTRACE_COVERAGE";

/// Compiles with instrumentation, if cargo started this program as its compiler.
pub fn compile_if_asked() {
    if env::var_os(WRAPPER).is_none() {
        return;
    }
    let mut args = env::args_os().skip(1);
    let mut rustc = Command::new(args.next().unwrap_or_else(|| "rustc".into()));
    let args: Vec<OsString> = args.collect();
    let build_script = args
        .iter()
        .any(|arg| arg.to_string_lossy().starts_with("build_script_"));
    rustc.args(args);
    if !build_script {
        rustc.args(["-C", "instrument-coverage"]);
    }
    eprintln!("cannot run rustc: {}", rustc.exec());
    std::process::exit(1);
}

/// What reads the profiles, if it is there.
pub fn tools() -> Option<PathBuf> {
    let tools = Path::new(setup::LLVM_PREFIX).join("bin");
    tools.join("llvm-cov").exists().then_some(tools)
}

/// Runs the tests, prints how much of each file they reach, and fails where it is too little.
pub fn run() -> anyhow::Result<()> {
    let folder = shell::root().join("target/coverage");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let objects = build()?;
    for object in &objects {
        let mut test = Command::new(object);
        test.arg("--quiet")
            .env("LLVM_PROFILE_FILE", folder.join("%p.profraw"));
        if file_name(object).starts_with(USER_LIBRARY) {
            test.arg("decode::");
        }
        shell::run(&mut test)?;
    }
    let files = measure(&folder, &objects)?;
    ensure!(!files.is_empty(), "no file was measured");
    let mut all = Lines::default();
    for (file, lines) in &files {
        println!(
            "{:6.1} %  {:4} lines  {file}{}",
            lines.percent(),
            lines.all,
            lines.missed()
        );
        all.all += lines.all;
        all.reached += lines.reached;
    }
    println!("coverage: {:.1} % of {} lines", all.percent(), all.all);
    if all.percent() < LEAST {
        bail!(
            "tests reach {:.1} % of the lines, less than {LEAST} %",
            all.percent()
        );
    }
    Ok(())
}

/// Builds the tests; where they are.
fn build() -> anyhow::Result<Vec<PathBuf>> {
    let mut command = shell::cargo(&["test", "--no-run"]);
    command
        .args(TESTS)
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(WRAPPER, "1");
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", output.status);
    // The tool itself is built too; tests are in a folder of their own.
    let executable = |line: &str| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        let path = rest.split('"').next()?;
        path.contains("/deps/").then(|| PathBuf::from(path))
    };
    let found = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(executable)
        .collect();
    Ok(found)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Lines of a file that hold code, tests aside.
#[derive(Default)]
struct Lines {
    all: u32,
    reached: u32,
    missed: Vec<u32>,
}

impl Lines {
    fn percent(&self) -> f64 {
        100.0 * f64::from(self.reached) / f64::from(self.all.max(1))
    }

    /// The lines that no test reaches, for the end of a line of output.
    fn missed(&self) -> String {
        let numbers: Vec<String> = self.missed.iter().map(u32::to_string).collect();
        match numbers.is_empty() {
            true => String::new(),
            false => format!("  not reached: {}", numbers.join(" ")),
        }
    }
}

/// Reads the profiles; by path inside the workspace.
fn measure(folder: &Path, objects: &[PathBuf]) -> anyhow::Result<BTreeMap<String, Lines>> {
    let profile = folder.join("all.profdata");
    let raw = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let tools = tools().with_context(|| format!("there is no llvm-cov under {}", setup::LLVM_PREFIX))?;
    let tool = |name: &str| Command::new(tools.join(name));
    shell::run(
        tool("llvm-profdata")
            .args(["merge", "-sparse", "-o"])
            .arg(&profile)
            .args(raw),
    )?;
    let mut export = tool("llvm-cov");
    export
        .args(["export", "-format=lcov", "-instr-profile"])
        .arg(&profile);
    let mut objects = objects.iter();
    // The first one is named without an option.
    export.args(objects.next());
    for object in objects {
        export.arg("-object").arg(object);
    }
    export.args(MEASURED.map(|path| shell::root().join(path)));
    let output = export
        .output()
        .with_context(|| format!("cannot run {export:?}"))?;
    ensure!(
        output.status.success(),
        "{export:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    lines(&String::from_utf8_lossy(&output.stdout))
}

/// `SF:FILE`, then `DA:LINE,COUNT` for each line of it (geninfo(1), of lcov).
fn lines(lcov: &str) -> anyhow::Result<BTreeMap<String, Lines>> {
    let mut files: BTreeMap<String, Lines> = BTreeMap::new();
    let (mut file, mut tests_from) = (String::new(), u32::MAX);
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let inside = Path::new(path).strip_prefix(shell::root())?;
            file = inside.to_string_lossy().into_owned();
            tests_from = match file.ends_with("_tests.rs") {
                true => 0,
                false => first_test_line(&fs::read_to_string(path)?),
            };
        } else if let Some((number, count)) = line.strip_prefix("DA:").and_then(|of| of.split_once(',')) {
            let number = number.parse()?;
            if number >= tests_from {
                continue;
            }
            let lines = files.entry(file.clone()).or_default();
            lines.all += 1;
            match count {
                "0" => lines.missed.push(number),
                _ => lines.reached += 1,
            }
        }
    }
    Ok(files)
}

/// Where a file's own tests begin.
fn first_test_line(source: &str) -> u32 {
    let at = source.lines().position(|line| line == "#[cfg(test)]");
    at.map_or(u32::MAX, |line| line as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_code_are_counted_and_those_of_tests_are_not() {
        let own = shell::root().join("xtask/src/coverage.rs");
        let tests = first_test_line(&fs::read_to_string(&own).unwrap());
        let lcov = format!(
            "SF:{}\nDA:1,7\nDA:2,0\nDA:{tests},0\nend_of_record\n",
            own.display()
        );
        let files = lines(&lcov).unwrap();
        let lines = &files["xtask/src/coverage.rs"];
        assert_eq!((lines.all, lines.reached), (2, 1));
        assert_eq!(lines.missed(), "  not reached: 2");
    }
}
