//! What the tool is like to use: on a terminal, in a shell, when it is refused something.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;
use tests::{Folder, Printed, Program, binary, interpreters, parse, program, tool};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command line writes to a terminal of so many columns.
fn on_terminal(columns: usize, command: &str, environment: &[(&str, &str)]) -> String {
    let output = tests::command("script")
        .args([
            "-qec",
            &format!("stty rows 24 cols {columns}; {command}"),
            "/dev/null",
        ])
        .env("TERM", "xterm-256color")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("script starts");
    text(&output.stdout)
}

fn has(program: &str) -> bool {
    let found = tests::command("sh")
        .args(["-c", &format!("command -v {program}")])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: {program} is not here");
    }
    found
}

/// A recording of a program that opens one file.
fn recording(python: &Path, folder: &Folder) -> String {
    let file = folder.text("opens.pytrace");
    let output = tests::command(binary())
        .args(["run", "-e", "file.open", "-o", &file, "--"])
        .arg(python)
        .arg(program("opens.py"))
        .output()
        .expect("the tool starts");
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    file
}

#[test]
fn a_terminal_gets_colours_and_lines_of_its_width_and_a_pipe_neither() {
    if !has("script") {
        return;
    }
    let Some(python) = interpreters().into_iter().next() else {
        return;
    };
    let folder = Folder::new("terminal");
    let replay = format!("{} replay {}", binary().display(), recording(&python, &folder));
    let plain = tests::command("sh")
        .args(["-c", &replay])
        .output()
        .expect("sh starts");
    let plain = text(&plain.stdout);
    assert!(plain.contains("open('/dev/null', 1) = "), "{plain}");
    assert!(!plain.contains('\x1b') && !plain.contains('…'), "{plain:?}");

    let narrow = on_terminal(40, &format!("{replay} 2>/dev/null"), &[("NO_COLOR", "1")]);
    let cut: Vec<String> = narrow
        .lines()
        .map(|line| line.trim_end_matches('\r').to_owned())
        .collect();
    let expected: Vec<String> = plain
        .lines()
        .map(|line| match line.chars().count() {
            0..=40 => line.to_owned(),
            _ => format!("{}…", line.chars().take(39).collect::<String>()),
        })
        .collect();
    assert_eq!(cut, expected);

    let wide = on_terminal(40, &format!("{replay} --wide 2>/dev/null"), &[("NO_COLOR", "1")]);
    assert_eq!(wide.replace("\r\n", "\n"), plain);
    let dumb = on_terminal(40, &format!("{replay} --wide 2>/dev/null"), &[("TERM", "dumb")]);
    assert_eq!(dumb.replace("\r\n", "\n"), plain);

    let coloured = on_terminal(400, &format!("{replay} 2>/dev/null"), &[]);
    assert!(coloured.contains("\x1b[32m'/dev/null'\x1b[0m"), "{coloured:?}");
    let forced = tests::command("sh")
        .args(["-c", &format!("{replay} --color always")])
        .output()
        .expect("sh starts");
    assert_eq!(text(&forced.stdout), coloured.replace("\r\n", "\n"));
}

#[test]
fn bash_completes_commands_and_options() {
    if !has("bash") {
        return;
    }
    let script = r#"
        source <("$1" completions bash)
        by=$(complete -p pytrace-ebpf | grep -o -- '-F [^ ]*')
        for word in repl --min; do
            COMP_WORDS=(pytrace-ebpf $word); COMP_CWORD=1; COMPREPLY=()
            ${by#-F } pytrace-ebpf $word pytrace-ebpf
            echo "$word: ${COMPREPLY[*]}"
        done"#;
    let output = tests::command("bash")
        .args(["--norc", "-c", script, "bash"])
        .arg(binary())
        .output()
        .expect("bash starts");
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines, ["repl: replay", "--min: --min-duration"]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn other_shells_get_completions_too() {
    for shell in ["zsh", "fish"] {
        let printed = tool(&["completions", shell]);
        assert_eq!(printed.code, Some(0));
        assert!(printed.stdout.contains("min-duration"), "{shell}");
    }
}

#[test]
fn the_manual_is_set_without_complaint() {
    if !has("groff") {
        return;
    }
    let folder = Folder::new("man");
    for page in [&["man"][..], &["man", "run"], &["man", "replay"]] {
        let file = folder.text("page.1");
        fs::write(&file, tool(page).stdout).expect("a page");
        let set = tests::command("groff")
            .args(["-man", "-ww", "-Tutf8", "-P-cbou", &file])
            .output()
            .expect("groff starts");
        assert!(set.status.success());
        assert_eq!(text(&set.stderr), "", "{page:?}");
        assert!(text(&set.stdout).contains("SYNOPSIS"), "{page:?}");
    }
}

#[test]
fn help_begins_with_examples() {
    for help in ["-h", "--help"] {
        let said = tool(&[help]).stdout;
        let at = |word: &str| said.find(word).unwrap_or_else(|| panic!("{word}: {said}"));
        assert!(at("Examples:") < at("Usage:"));
        assert!(at("Usage:") < at("Which calls are shown:"));
    }
}

#[test]
fn the_doctor_reports_to_programs() {
    if interpreters().is_empty() {
        return;
    }
    let printed = tool(&["doctor", "--format", "json"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stdout);
    let report = parse(&printed.stdout);
    assert_eq!((&report["type"], &report["v"]), (&"doctor".into(), &1.into()));
    let names: Vec<&str> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .map(|check| {
            assert!(check["ok"].is_boolean() && check["detail"].is_string(), "{check}");
            assert_eq!(check["remedy"].is_string(), check["ok"] == false, "{check}");
            check["name"].as_str().expect("a name")
        })
        .collect();
    assert_eq!(
        names,
        ["kernel", "privileges", "BPF programs", "BTF", "pid namespace"]
    );
}

#[test]
fn errors_are_one_line_and_name_the_remedy() {
    if interpreters().is_empty() {
        return;
    }
    let own = std::process::id().to_string();
    for (args, remedy) in [
        (["--pid", "4194304"], "no process has the id 4194304"),
        (["--pid", "2"], "kernel thread"),
        (["--pid", &own], "runs no CPython"),
    ] {
        let Printed {
            code, stderr: said, ..
        } = tool(&args);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(remedy), "{said}");
    }
}

#[test]
fn what_is_forbidden_is_named() {
    let interpreters = interpreters();
    let Some(python) = interpreters.first() else {
        return;
    };
    if !has("setpriv") || !has("unshare") {
        return;
    }
    let folder = Folder::new("forbidden");
    // Where another user may run it.
    let tool = folder.copy_of(&binary(), "pytrace-ebpf");
    let (python, filtered) = (python.display().to_string(), program("without_bpf.py"));
    let no_capabilities = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    for (by, remedy) in [
        (&no_capabilities[..], "--cap-add BPF"),
        (
            &["setpriv", "--reuid=65534", "--clear-groups"],
            "run it as root (sudo)",
        ),
        (&[&python, &filtered], "seccomp=unconfined"),
        (
            &["unshare", "--pid", "--fork", "--mount-proc"],
            "outside of the container",
        ),
    ] {
        let run = |args: &[&str]| {
            let mut command = tests::command(by[0]);
            command.args(&by[1..]).arg(&tool).args(args);
            command.output().expect("it starts")
        };
        let output = run(&["run", "--", "true"]);
        let said = text(&output.stderr);
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(1), 1),
            "{by:?} {said}"
        );
        assert!(said.contains(remedy), "{by:?} {said}");
        // In another pid namespace, processes of that namespace are traced.
        let works = by[0] == "unshare";
        let output = run(&["doctor", "--format", "json"]);
        assert_eq!(output.status.success(), works, "{by:?} {}", text(&output.stdout));
    }
}

#[test]
fn ctrl_c_on_a_terminal_ends_with_the_summary() {
    let Some(python) = interpreters().into_iter().next() else {
        return;
    };
    let mut traced = Program::start(&python, "wide_calls.py");
    traced.tell("go");
    let tool = binary().display().to_string();
    let pid = traced.pid().to_string();
    for _ in 0..5 {
        let output = tests::command("/usr/bin/python3")
            .arg(program("terminal.py"))
            .args(["100", "posix.stat", &tool, "--pid", &pid, "-e", "file"])
            .output()
            .expect("a terminal");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("an answer");
        assert_eq!(answer["code"], 0, "{answer}");
        let written = answer["written"].as_str().unwrap_or_default();
        let last = written.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("pytrace-ebpf: ") && last.contains(" events, 0 lost"),
            "{last}"
        );
    }
}
