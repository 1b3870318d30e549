//! What users see: terminals, completions, what `doctor` says, errors that name the remedy.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tests::{Program, binary, interpreters, parse, program, tool};

/// What the tool writes on a terminal of 140 columns until it is interrupted, and its exit code.
fn on_terminal(pid: u32, args: &[&str], environment: &[(&str, &str)]) -> (i64, String) {
    let output = Command::new("/usr/bin/python3")
        .arg(program("terminal.py"))
        .args([
            "140",
            "posix.stat",
            &binary().display().to_string(),
            "--pid",
            &pid.to_string(),
        ])
        .args(args)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .envs(environment.iter().copied())
        .output()
        .expect("a terminal");
    let answer: Value = parse(&String::from_utf8_lossy(&output.stdout));
    let code = answer["code"].as_i64().expect("a code");
    (code, answer["written"].as_str().expect("text").to_owned())
}

/// Without the sequences that set colours.
fn bare(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    first
        + &parts
            .map(|part| part.split_once('m').map_or("", |(_, rest)| rest))
            .collect::<String>()
}

#[test]
fn a_terminal_gets_colours_and_lines_that_fit() {
    let Some(python) = interpreters().into_iter().next() else {
        return;
    };
    let mut program = Program::start(&python, "wide_calls.py");
    program.tell("go");
    let (code, written) = on_terminal(program.pid(), &["-e", "file"], &[]);
    // Ctrl-C is the way to end it.
    assert_eq!(code, 0, "{written}");
    assert!(written.contains("\u{1b}[1mposix.open\u{1b}[0m"), "{written}");
    assert!(written.contains("events, 0 lost"), "{written}");
    // Where the terminal has echoed ^C, a line is longer.
    let whole = |line: &&str| line.contains("wide_calls.py") && !line.contains("^C");
    let calls: Vec<String> = written.lines().filter(whole).map(bare).collect();
    assert!(calls.len() > 1);
    for line in &calls {
        assert!(line.trim_end().chars().count() <= 140, "{line}");
    }
    let open = calls
        .iter()
        .find(|line| line.contains("posix.open"))
        .expect("an open");
    assert!(open.contains("x… raised FileNotFoundError(2, "), "{open}");
    let (_, written) = on_terminal(program.pid(), &["-e", "file", "--wide"], &[("NO_COLOR", "1")]);
    // The terminal itself echoes ^C; no colour is set.
    assert!(!written.contains("\u{1b}["), "{written}");
    assert!(written.contains(&"x".repeat(200)), "{written}");
}

#[test]
fn shells_complete_with_what_is_generated() {
    let script = format!(
        "source <({0} completions bash) && complete -p pytrace-ebpf && COMP_WORDS=(pytrace-ebpf rep) COMP_CWORD=1 \
         && _pytrace__ebpf pytrace-ebpf rep pytrace-ebpf && echo \"${{COMPREPLY[@]}}\"",
        binary().display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.lines().last().is_some_and(|line| line == "replay"),
        "{output:?}"
    );
    for shell in ["zsh", "fish"] {
        let printed = tool(&["completions", shell]);
        assert_eq!(printed.code, Some(0));
        assert!(printed.stdout.contains("min-duration"));
    }
    let page = tool(&["man"]);
    assert_eq!(page.code, Some(0));
    assert!(page.stdout.contains(".TH pytrace-ebpf 1"), "{}", page.stdout);
    assert!(page.stdout.contains("\\-\\-show\\-secrets"), "{}", page.stdout);
}

#[test]
fn help_begins_with_examples() {
    let help = tool(&["--help"]).stdout;
    assert!(
        help.starts_with("Examples:\n  sudo pytrace-ebpf --pid 1234 "),
        "{help}"
    );
}

#[test]
fn doctor_answers_programs_too() {
    if interpreters().is_empty() {
        return;
    }
    let printed = tool(&["doctor", "--format", "json"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let answer: Value = parse(&printed.stdout);
    assert_eq!((&answer["type"], &answer["v"]), (&"doctor".into(), &1.into()));
    for check in answer["checks"].as_array().expect("checks") {
        assert_eq!(check["ok"], true, "{check}");
    }
    let printed = tool(&["doctor", "--pid", "4000000"]);
    assert_eq!(printed.code, Some(1));
    assert!(printed.stdout.contains("FAIL  process"), "{}", printed.stdout);
}

/// The tool as another user, or with fewer rights: exit code and what it says.
fn with_less(setpriv: &[&str], args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("setpriv")
        .args(setpriv)
        .arg(copy_for_everyone())
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("setpriv runs");
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Where other users may run it.
fn copy_for_everyone() -> String {
    let path = std::env::temp_dir().join(format!("pytrace-ebpf-{}", std::process::id()));
    if !Path::new(&path).exists() {
        std::fs::copy(binary(), &path).expect("a copy");
    }
    path.display().to_string()
}

#[test]
fn errors_name_the_remedy() {
    let Some(python) = interpreters().into_iter().next() else {
        return;
    };
    let program = Program::start(&python, "wide_calls.py");
    let pid = program.pid().to_string();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let weak = ["--bounding-set=-bpf,-perfmon,-sys_admin", "--inh-caps=-all"];
    for (setpriv, expected) in [(&nobody[..], "root"), (&weak[..], "CAP_BPF")] {
        let (code, said) = with_less(setpriv, &["--pid", &pid, "--duration", "0"]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let _ = std::fs::remove_file(copy_for_everyone());
}
