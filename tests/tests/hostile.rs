//! A program that lies to whoever looks at it: nothing of it is harmed, and nothing of what it says reaches the terminal raw.

use std::{io, process::Stdio, thread};

use tests::{Attached, Program, interpreters};

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
    let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
    let options = [
        "-e",
        "all",
        "-f",
        "*operator.*",
        "--calls",
        "*act*",
        "--stack",
        "3",
    ];
    let mut tool = Attached::attach(&pids, &options, Stdio::piped());
    let stdout = tool.take_output().expect("stdout is piped");
    let shown = thread::spawn(move || io::read_to_string(stdout).expect("text"));
    for program in &mut programs {
        program.run();
    }
    let said = tool.stop();
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
        let printed = tests::tool(&["functions", "--pid", &program.pid().to_string()]);
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
