//! What the tool may do while it traces, as the kernel says: nothing but what that needs. What it starts may do all it could.

use std::{fs, process::Stdio};

use tests::{Attached, Program, Run, interpreters, program};

/// What `/proc/PID/status` says of each thread of a process.
fn statuses(pid: u32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).expect("it lives");
    threads.flatten().map(status).collect()
}

/// Of itself and of what it starts: the bits of `NEEDED` in privileges.rs (linux/capability.h).
const CAPABILITIES: &str = "000001c000080024";

#[test]
fn the_tool_keeps_what_tracing_needs() {
    let programs: Vec<Program> = interpreters()
        .iter()
        .map(|python| Program::start_case(python, "hard.py", "exits"))
        .collect();
    let pids: Vec<u32> = programs.iter().map(Program::pid).collect();
    if pids.is_empty() {
        return;
    }
    let tool = Attached::attach(&pids, &["-e", "all", "--format", "json"], Stdio::null());
    let threads = statuses(tool.pid());
    for status in &threads {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert!(status.contains(&format!("{set}:\t{CAPABILITIES}\n")), "{status}");
        }
        assert!(status.contains("CapInh:\t0000000000000000\n"), "{status}");
        assert!(status.contains(CONFINED), "{status}");
    }
    assert!(threads.len() > 1, "its writer is a thread of its own");
    tool.stop();
}

/// A seccomp filter for itself, of which `process/confine` tests what it denies; and none for what `run` starts.
const CONFINED: &str = "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t2\n";
const FREE: &str = "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n";

#[test]
fn the_tool_confines_itself_and_not_what_it_starts() {
    for python in interpreters() {
        let path = python.to_string_lossy();
        let mut run = Run::start(&["--follow"], &[&*path, &program("hard.py"), "exits"]);
        assert_eq!(run.line().as_deref(), Some("ready"));
        let tool = run.pid().as_raw() as u32;
        for status in statuses(tool) {
            assert!(status.contains(CONFINED), "{status}");
        }
        let children = fs::read_to_string(format!("/proc/{tool}/task/{tool}/children")).expect("it lives");
        let children: Vec<String> = children
            .split_whitespace()
            .map(|child| statuses(child.parse().expect("a process id")).remove(0))
            .collect();
        let [program, guard] = &children[..] else {
            panic!("a program and a guard: {children:?}")
        };
        assert!(program.contains(FREE), "{program}");
        assert!(guard.contains(CONFINED), "{guard}");
        run.tell("go");
        assert_eq!(run.wait().status.code(), Some(3));
    }
}
