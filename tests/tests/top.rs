//! `top`, on a terminal.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Program, Terminal, assert_no_breakpoints, binary, breakpoints_go, children, interpreters, tool, version,
};

/// All interpreters at work, and `top` of them.
fn all_at_work(options: &str) -> (Vec<Program>, Terminal) {
    let mut programs: Vec<Program> = interpreters()
        .iter()
        .map(|python| Program::start(python, "topped.py"))
        .collect();
    let mut terminal = top(&programs, options);
    terminal.line("call sites");
    programs.iter_mut().for_each(|program| program.tell("go"));
    (programs, terminal)
}

fn top(programs: &[Program], options: &str) -> Terminal {
    let pids: String = programs
        .iter()
        .map(|program| format!(" --pid {}", program.pid()))
        .collect();
    Terminal::start(&format!("{} top{pids} {options}", binary().display()))
}

/// One interpreter at work; `None` where none can be traced.
fn one_at_work() -> Option<(Program, Terminal)> {
    let python = interpreters().pop()?;
    let mut program = Program::start(&python, "topped.py");
    let mut terminal = top(std::slice::from_ref(&program), "");
    program.tell("go");
    terminal.line("posix.write");
    Some((program, terminal))
}

fn stops(mut program: Program) {
    assert_no_breakpoints(program.pid());
    program.tell("enough");
    program.line();
    assert!(program.end());
}

#[test]
fn a_screen_of_what_all_interpreters_do() {
    let (mut programs, mut terminal) = all_at_work("--interval 500ms");
    if programs.is_empty() {
        return;
    }
    let running = format!("{} running", programs.len());
    terminal.line(&running);
    // The most calls first, by three to one.
    terminal.keys(&["c"]);
    terminal.until("sorted by calls", |screen| {
        let is_sorted = screen[1].contains("by calls") && screen[3].contains("posix.write");
        is_sorted.then_some(())
    });
    terminal.keys(&["e"]);
    terminal.until("sorted by errors", |screen| {
        screen[3].contains("posix.unlink  topped.py:").then_some(())
    });
    terminal.keys(&["2"]);
    terminal.line("file.unlink");
    terminal.keys(&["3"]);
    for (program, python) in programs.iter().zip(interpreters()) {
        let line = terminal.line(&format!(" {} ", program.pid()));
        let number = version(&python).replace("Python ", "");
        assert!(line.contains(&format!("Python {number}")), "{line}");
    }
    // What calls act on, of some that are looked at.
    terminal.keys(&["4"]);
    terminal.line("/nowhere/to/be/found  file.unlink");
    // One effect's call sites.
    terminal.keys(&["1"]);
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "file.stat"]);
    terminal.keys(&["Enter"]);
    terminal.until("the filter", |screen| {
        let has = |part: &str| screen.iter().any(|line| line.contains(part));
        (has("posix.lstat") && !has("posix.write")).then_some(())
    });
    // What has been counted, when all have ended: as the programs say.
    let mut truth = [0u64; 3];
    for program in &mut programs {
        program.tell("enough");
        let said = program.value();
        for (sum, name) in truth.iter_mut().zip(["write", "unlink", "lstat"]) {
            *sum += said[name].as_u64().expect("a count");
        }
    }
    assert!(programs.into_iter().all(Program::end));
    terminal.line("tracing has ended");
    // By itself: with a key behind it it would be that key with Alt.
    terminal.keys(&["Escape"]);
    terminal.line("/: filter");
    terminal.keys(&["a"]);
    for (function, calls) in ["save", "drop", "look"].into_iter().zip(truth) {
        terminal.keys(&["/"]);
        terminal.keys(&["C-u"]);
        terminal.keys(&["-l", function]);
        terminal.keys(&["Enter"]);
        let filter = format!("filter: {function}   ");
        let head = terminal.until(&filter, |screen| {
            let is_filtered = screen[23].starts_with(&filter) && screen[1].ends_with("since the start");
            is_filtered.then(|| screen[0].clone())
        });
        let shown = match calls {
            0..10_000 => calls.to_string(),
            _ => format!("{:.1}k", calls as f64 / 1e3),
        };
        assert!(
            head.contains(&format!("  {shown} calls  ")),
            "{function} {calls}: {head}"
        );
    }
    terminal.keys(&["q"]);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn what_tracing_costs_and_what_goes_for_it() {
    let Some(python) = interpreters().pop() else {
        return;
    };
    let mut program = Program::start_of(&python, "budgeted.py", &["3"]);
    let options = "--interval 200ms --budget 5% -e none -f posix.getppid";
    let mut terminal = top(std::slice::from_ref(&program), options);
    terminal.line("call sites");
    program.tell("go");
    terminal.until("the cost, and a function that is seen in part", |screen| {
        let marked = screen.iter().any(|line| line.contains("posix.getppid (moments)"));
        (marked && screen[0].contains("% of 5%")).then_some(())
    });
    terminal.keys(&["q"]);
    assert_eq!(terminal.end(), 0);
    program.line();
    program.line();
    breakpoints_go(program.pid());
    assert!(program.end());
}

#[test]
fn one_call_site_with_its_latest_values() {
    let (programs, mut terminal) = all_at_work("");
    if programs.is_empty() {
        return;
    }
    for program in &programs {
        terminal.keys(&["/"]);
        terminal.keys(&["-l", &program.pid().to_string()]);
        terminal.keys(&["Enter"]);
        terminal.keys(&["e", "Home"]);
        terminal.until("the call that fails", |screen| {
            let only = screen.iter().filter(|line| line.contains("posix.unlink")).count() == 1;
            (only && screen[3].contains("posix.unlink")).then_some(())
        });
        terminal.keys(&["Enter"]);
        terminal.line(&format!("process {}", program.pid()));
        terminal.line("posix.unlink('/nowhere/to/be/found') raised ");
        terminal.keys(&["Escape"]);
        terminal.line("filter: ");
        terminal.keys(&["Escape"]);
        terminal.line("/: filter");
    }
    // A pause holds the numbers.
    terminal.keys(&["p"]);
    terminal.line("PAUSED");
    terminal.keys(&["p"]);
    terminal.until("going on", |screen| (!screen[1].contains("PAUSED")).then_some(()));
    terminal.keys(&["?"]);
    terminal.line("all probes are taken out");
    terminal.keys(&["C-c"]);
    assert_eq!(terminal.end(), 0);
    programs.into_iter().for_each(stops);
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let Some((program, mut terminal)) = one_at_work() else {
            return;
        };
        let top = terminal.process("top");
        kill(Pid::from_raw(top as i32), signal).expect("it runs");
        assert_eq!(terminal.end(), 0, "{signal}");
        stops(program);
    }
    // The one that traces is killed.
    let Some((program, mut terminal)) = one_at_work() else {
        return;
    };
    let tracer = children(terminal.process("top"))[0];
    kill(Pid::from_raw(tracer as i32), Signal::SIGKILL).expect("it runs");
    terminal.line("tracing has ended");
    terminal.keys(&["q"]);
    assert_eq!(terminal.end(), 1);
    breakpoints_go(program.pid());
    stops(program);
    // There is no such process.
    let mut terminal = Terminal::start(&format!("{} top --pid 4194304", binary().display()));
    terminal.line("no process has the id 4194304");
    assert_eq!(terminal.end(), 1);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let said = tool(&["top", "--pid", "1"]);
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("stat --interval 1"), "{}", said.stderr);
}
