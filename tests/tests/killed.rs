//! The tool alone is killed under `run --follow`, whatever it is doing: nobody stays stopped, nothing stays attached.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use tests::{Run, breakpoints_go, interpreters, program};

/// Times that the tool is killed, by interpreter; more by hand.
fn kills() -> u32 {
    let given = std::env::var("PYTRACE_KILLS").ok();
    given.map_or(10, |times| times.parse().expect("PYTRACE_KILLS is a number"))
}

fn start(python: &Path) -> Run {
    let script = program("held.py");
    Run::start(
        &["--follow", "-e", "file,process"],
        &[python.as_os_str(), script.as_ref()],
    )
}

/// Kills the tool so long after it started, or after the program began. The program goes on to its end, as do its
/// children; false: it had not begun, and does not.
fn killed_after(python: &Path, time: Duration, begun: bool) -> bool {
    let mut run = start(python);
    let mut first = if begun { run.line() } else { None };
    // The time is not waited for something: it is what the test varies.
    thread::sleep(time);
    run.kill_tool();
    if !begun {
        first = run.line();
    }
    let Some(line) = first else {
        assert!(!begun, "the program ended with the tool");
        return false;
    };
    let pid = line.strip_prefix("begun ").expect("the first line");
    assert_eq!(run.line().as_deref(), Some("end"), "killed after {time:?}");
    breakpoints_go(pid.parse().expect("a number"));
    run.tell("");
    assert_eq!(run.line(), None);
    true
}

/// How long the tool takes until the program begins, and the program until its end.
fn times(python: &Path) -> (Duration, Duration) {
    let started = Instant::now();
    let mut run = start(python);
    run.line().expect("the program begins");
    let begun = Instant::now();
    assert_eq!(run.line().as_deref(), Some("end"));
    let times = (begun - started, begun.elapsed());
    run.tell("");
    assert!(run.wait().status.success());
    times
}

#[test]
fn a_killed_tool_leaves_nothing_stopped_and_nothing_attached() {
    let kills = kills();
    for python in interpreters() {
        let (start, work) = times(&python);
        let parts = || 0..kills / 2;
        let early = parts().filter(|n| killed_after(&python, start * *n * 2 / kills, false));
        let early = early.count();
        let late = parts().filter(|n| killed_after(&python, work * *n * 2 / kills, true));
        assert_eq!(late.count() as u32, kills / 2);
        println!("KILLED: {kills} times within {start:?} + {work:?}; {early} of the early ones had begun");
    }
}
