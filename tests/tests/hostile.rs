//! A program that lies to whoever looks at it: nothing of it is harmed, and nothing of what it says reaches the terminal raw.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Program, binary, command, interpreters, tool};

/// What orders a terminal about: control characters, and those that change the direction of text.
fn is_order(c: char) -> bool {
    c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[test]
fn lies_about_functions_types_modules_and_names() {
    let pythons = interpreters();
    let mut programs: Vec<Program> = pythons
        .iter()
        .map(|python| Program::start(python, "hostile.py"))
        .collect();
    if programs.is_empty() {
        return;
    }
    let mut traced = command(binary());
    traced.args([
        "-e",
        "all",
        "-f",
        "*operator.*",
        "--calls",
        "*act*",
        "--stack",
        "3",
    ]);
    for program in &programs {
        traced.args(["--pid", &program.pid().to_string()]);
    }
    let mut traced = traced
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut stderr = BufReader::new(traced.stderr.take().expect("stderr is piped"));
    let (mut attached, mut said) = (0, String::new());
    while attached < programs.len() {
        let at = said.len();
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "{said}");
        attached += usize::from(said[at..].contains("attached to"));
    }
    let stdout = traced.stdout.take().expect("stdout is piped");
    let shown = std::thread::spawn(move || std::io::read_to_string(stdout).expect("text"));
    for program in &mut programs {
        program.run();
    }
    kill(Pid::from_raw(traced.id() as i32), Signal::SIGINT).expect("it lives");
    stderr.read_to_string(&mut said).expect("text");
    assert!(traced.wait().expect("it ends").success(), "{said}");
    let shown = shown.join().expect("text");
    for text in [&shown, &said] {
        let order = text.find(is_order);
        assert_eq!(
            order,
            None,
            "{:?}",
            order.map(|at| &text[at.saturating_sub(80)..])
        );
    }
    let unlinked = shown
        .lines()
        .filter(|line| line.contains("posix.unlink(") && line.contains("owned"));
    assert_eq!(unlinked.count(), programs.len(), "{shown}");
    for (program, python) in programs.into_iter().zip(&pythons) {
        let printed = tool(&["functions", "--pid", &program.pid().to_string()]);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        assert_eq!(printed.stdout.find(is_order), None);
        let told = |part: &str| {
            printed
                .stdout
                .lines()
                .find(|line| line.contains(part))
                .map(str::to_owned)
        };
        let inside = told("operator.gt ").expect("it is listed");
        assert!(inside.contains("inside of another function"), "{inside}");
        assert!(
            program.end(),
            "{}: it went on as if nothing was",
            python.display()
        );
    }
}
