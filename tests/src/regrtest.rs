//! Modules of CPython's own regression tests, run as they are and under trace: what became of each case.
//!
//! The chore `cargo xtask regress` uses it too.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

/// Reads what `--junit-xml` wrote.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/programs/regrtest_cases.py");
/// Cases that wait for ever, untraced too, on machines whose kernel knows such sockets and has nobody at the other end.
const LEFT_OUT: &str = "*VSOCK*";
/// The name under which the exit code is compared.
const EXIT: &str = "exit code";

/// How a module is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the interpreter alone.
    Untraced,
    /// Under `run -e all`.
    Traced,
    /// Under `run -e all --follow`.
    Followed,
}

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Untraced => "untraced",
            Self::Traced => "traced",
            Self::Followed => "followed",
        }
    }
}

/// Modules of one interpreter's tests.
pub struct Modules<'a> {
    pub python: &'a Path,
    /// `test_io`.
    pub names: &'a [&'a str],
    /// regrtest ends a module that takes longer, and shows where it is.
    pub timeout_secs: u32,
}

/// What became of one run of modules.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// `passed`, `failed`, `error`, `skipped`… by the name of the case; and the exit code.
    by_case: BTreeMap<String, String>,
    /// The tool's own last line: how many events, how many lost.
    pub summary: String,
}

/// What became of a case untraced, and traced; `None`: it is not among the results.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub untraced: Option<String>,
    pub traced: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |outcome: &Option<String>| outcome.as_deref().unwrap_or("no result").to_owned();
        write!(f, "{} / {}", text(&self.untraced), text(&self.traced))
    }
}

impl Modules<'_> {
    /// Whether this interpreter has them, and a regrtest that writes results to a file, as since 3.7. Debian's has none.
    pub fn exist(&self) -> bool {
        let find = "import sys, importlib.util as util\n\
                    names = ['libregrtest'] + sys.argv[1:]\n\
                    found = util.find_spec('test') and all(util.find_spec('test.' + name) for name in names)\n\
                    sys.exit(sys.version_info < (3, 7) or not found)";
        let status = Command::new(self.python)
            .args(["-c", find])
            .args(self.names)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    }

    /// Runs them once. Their output stays in the folder, in files whose names begin with `round`. `command` makes the
    /// command of a program.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or wrote results that cannot be read.
    pub fn run(
        &self,
        way: Way,
        tool: &Path,
        folder: &Path,
        round: u32,
        command: impl Fn(&OsStr) -> Command,
    ) -> anyhow::Result<Outcomes> {
        fs::create_dir_all(folder)?;
        let file = |kind: &str| folder.join(format!("{round}-{}.{kind}", way.name()));
        let results = file("xml");
        let _ = fs::remove_file(&results);
        let mut run = match way {
            Way::Untraced => command(self.python.as_os_str()),
            Way::Traced | Way::Followed => {
                let mut run = command(tool.as_os_str());
                run.args(["run", "-e", "all", "--format", "json", "-o", "/dev/null"]);
                run.args((way == Way::Followed).then_some("--follow"));
                run.arg("--").arg(self.python);
                run
            }
        };
        run.args(["-m", "test", "-v", "--timeout", &self.timeout_secs.to_string()]);
        run.args(["--ignore", LEFT_OUT]);
        run.arg("--junit-xml").arg(&results);
        let status = run
            .args(self.names)
            .stdin(Stdio::null())
            .stdout(File::create(file("out"))?)
            .stderr(File::create(file("err"))?)
            .status()
            .with_context(|| format!("cannot run {run:?}"))?;
        let mut outcomes = Outcomes {
            by_case: self.cases(&results)?,
            summary: summary(&file("err")),
        };
        // As a shell tells it, and the tool does.
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        let code = status.code().unwrap_or(128 + signal.unwrap_or(0));
        outcomes.by_case.insert(EXIT.into(), code.to_string());
        Ok(outcomes)
    }

    /// The outcomes in a file of results; none where there is no file, as when the tests ended by a signal.
    fn cases(&self, results: &Path) -> anyhow::Result<BTreeMap<String, String>> {
        let mut cases: BTreeMap<String, String> = BTreeMap::new();
        if !results.exists() {
            return Ok(cases);
        }
        let output = Command::new(self.python).arg(CASES).arg(results).output()?;
        if !output.status.success() {
            bail!(
                "cannot read {}: {}",
                results.display(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((outcome, name)) = line.split_once('\t') else {
                bail!("no outcome and name: {line}");
            };
            // A name may be there more than once: modules are loaded again, classes are made in loops.
            let all = cases.entry(name.to_owned()).or_default();
            if !all.is_empty() {
                all.push_str(", ");
            }
            all.push_str(outcome);
        }
        Ok(cases)
    }
}

impl Outcomes {
    /// How many cases there are.
    pub fn cases(&self) -> usize {
        self.by_case.len().saturating_sub(1)
    }

    /// The exit code.
    pub fn exit(&self) -> &str {
        self.by_case.get(EXIT).map_or("", String::as_str)
    }

    /// How the traced outcomes differ from these, by the name of the case.
    pub fn differences(&self, traced: &Self) -> BTreeMap<String, Difference> {
        let names: BTreeSet<&String> = self.by_case.keys().chain(traced.by_case.keys()).collect();
        let pairs = names.into_iter().map(|name| {
            let difference = Difference {
                untraced: self.by_case.get(name).cloned(),
                traced: traced.by_case.get(name).cloned(),
            };
            (name.clone(), difference)
        });
        pairs
            .filter(|(_, outcomes)| outcomes.untraced != outcomes.traced)
            .collect()
    }
}

/// The tool's line about events and losses, in what went to standard error.
fn summary(file: &Path) -> String {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("pytrace-ebpf: "));
    let mut said = lines.filter(|line| line.contains(" lost (hits "));
    said.next_back().unwrap_or("no summary").to_owned()
}

/// Processes that run this program.
pub fn running(program: &Path) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_it = |process: &PathBuf| fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program);
    processes.map(|entry| entry.path()).filter(is_it).collect()
}
