//! Programs that switch C stacks inside of what is traced (greenlet, gevent, eventlet): no result changes, and nothing crashes.

use std::{
    path::Path,
    sync::{PoisonError, RwLock},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tests::{Program, Run, Tracer, breakpoints_go, calls, packaged, program, rightly};

/// Everything the program does that switches, and what the standard way to trace it would show.
const TRACED: [&str; 12] = [
    "-e",
    "all",
    "-f",
    "builtins.sorted",
    "-f",
    "builtins.max",
    "-f",
    "functools.reduce",
    "-f",
    "builtins.list.sort",
    "-f",
    "_operator.*",
];

/// Times that a tracer comes and goes; more by hand.
fn cycles() -> usize {
    let given = std::env::var("PYTRACE_CYCLES").ok();
    given.map_or(3, |times| times.parse().expect("PYTRACE_CYCLES is a number"))
}

fn assert_goes_on_rightly(python: &Path, way: &str) {
    let mut program = Program::real(python, "switching.py", &[way]);
    for cycle in 0..cycles() {
        // With runs of Python functions; plainly; while probes come and go.
        let options = [&["--calls", "*switching*"][..], &[], &["--budget", "5%"]][cycle % 3];
        let tracer = Tracer::attach(&program, &[&TRACED, options].concat());
        // One round may have been under way, and past what is looked for.
        (0..2).for_each(|_| program.goes_on());
        let trace = tracer.stop();
        let counted = |field: &str| trace.summary[field].as_u64().expect("a number");
        assert_eq!(
            counted("hits"),
            counted("delivered") + counted("dropped") + counted("filtered")
        );
        let sorted: Vec<Value> = calls(&trace.events)
            .into_iter()
            .filter(|call| call["function"] == "builtins.sorted")
            .collect();
        assert!(!sorted.is_empty(), "{way}: {}", trace.summary);
        for call in sorted {
            // Python code runs in it, which may switch.
            assert_eq!(call["outcome"], "unobserved");
            let ended = call["why"]
                .as_str()
                .is_some_and(|why| why.contains("tracing ended"));
            let greenlet = call["why"].as_str().is_some_and(|why| why.contains("greenlet"));
            assert!(ended || greenlet, "{call}");
        }
        program.goes_on();
    }
    // Another test's tool that follows children may have one there, for all processes, for a moment.
    breakpoints_go(program.pid());
    program.tell("end");
    assert!(program.end(), "{way}: it ended as if nothing was");
}

#[test]
fn greenlets_return_in_another_order_than_they_entered() {
    for python in packaged() {
        assert_goes_on_rightly(&python, "greenlet");
    }
}

#[test]
fn a_server_and_a_pool_of_gevent() {
    for python in packaged() {
        assert_goes_on_rightly(&python, "gevent");
    }
}

#[test]
fn a_server_and_a_pool_of_eventlet() {
    for python in packaged() {
        assert_goes_on_rightly(&python, "eventlet");
    }
}

/// Outcomes of the calls of `sorted`.
fn outcomes_of_sorted(events: &[Value]) -> Vec<Value> {
    let calls = calls(events).into_iter();
    let sorted = calls.filter(|call| call["function"] == "builtins.sorted");
    sorted.map(|call| call["outcome"].clone()).collect()
}

/// The kernel gives a return probe that one process is to have to every process with any probe at that instruction.
#[test]
fn return_probes_of_another_process_stay_there() {
    let _shared = RETURN_PROBES.read().unwrap_or_else(PoisonError::into_inner);
    for python in packaged() {
        let mut plain = Program::real(&python, "switching.py", &["plain"]);
        let other = Tracer::attach(&plain, &TRACED);
        let mut program = Program::real(&python, "switching.py", &["greenlet"]);
        let tracer = Tracer::attach(&program, &TRACED);
        // One round may have been under way.
        (0..3).for_each(|_| program.goes_on());
        let trace = tracer.stop();
        let outcomes = outcomes_of_sorted(&trace.events);
        assert!(outcomes.contains(&"unobserved".into()), "{outcomes:?}");
        program.goes_on();
        program.tell("end");
        assert!(program.end(), "it ended as if nothing was");
        plain.goes_on();
        assert!(outcomes_of_sorted(&other.stop().events).contains(&"return".into()));
        plain.tell("end");
        assert!(plain.end());
    }
}

/// Under `run` the program waits where a module was loaded until its probes are where they may be.
#[test]
fn greenlet_may_be_loaded_while_the_program_is_traced() {
    let _shared = RETURN_PROBES.read().unwrap_or_else(PoisonError::into_inner);
    for python in packaged() {
        let mut plain = Program::real(&python, "switching.py", &["plain"]);
        let other = Tracer::attach(&plain, &TRACED);
        let path = format!("PYTHONPATH={}", tests::programs().display());
        let script = program("real/switching.py");
        let command = [
            "env".as_ref(),
            path.as_ref(),
            python.as_os_str(),
            script.as_ref(),
            "late".as_ref(),
        ];
        let mut run = Run::start(
            &["-e", "none", "-f", "builtins.sorted", "-f", "builtins.max"],
            &command,
        );
        assert_eq!(run.line().as_deref(), Some("ready"));
        let progress = |run: &mut Run| -> u64 {
            run.tell("count");
            rightly(&run.line().expect("the program lives"))
        };
        run.tell("switch");
        let begun = progress(&mut run);
        while progress(&mut run) < begun + 3 {}
        run.tell("end");
        let ran = run.wait();
        assert!(ran.status.success(), "it ended as if nothing was");
        let outcomes = outcomes_of_sorted(&ran.events);
        for outcome in ["return", "unobserved"] {
            assert!(outcomes.contains(&outcome.into()), "{outcome}: {}", ran.summary);
        }
        assert!(ran.stderr.contains("loaded greenlet"), "{}", ran.stderr);
        plain.goes_on();
        drop(other);
        plain.tell("end");
        assert!(plain.end());
    }
}

/// The kernel half sees it come; the daemon would be too late. Before Linux 6.13 it is.
#[test]
fn greenlet_may_be_loaded_and_used_at_once() {
    if !has_sessions() {
        println!("SKIPPED: this kernel has no session programs");
        return;
    }
    let _alone = RETURN_PROBES.write().unwrap_or_else(PoisonError::into_inner);
    for python in packaged() {
        // Recorded, with calls of Python functions too; and only added up.
        for options in [&["--calls", "*switching*"][..], &[], &["-c"]]
            .iter()
            .cycle()
            .take(6)
        {
            let mut program = Program::real(&python, "switching.py", &["late"]);
            let tracer = Tracer::attach(&program, &[&TRACED[..], options].concat());
            program.goes_on();
            program.tell("switch");
            (0..3).for_each(|_| program.goes_on());
            let trace = tracer.stop();
            program.goes_on();
            program.tell("end");
            assert!(program.end(), "it ended as if nothing was");
            if options.contains(&"-c") {
                let sorted = trace
                    .events
                    .iter()
                    .find(|total| total["function"] == "builtins.sorted");
                let sorted = sorted.expect("it is called");
                let [calls, unobserved] =
                    ["calls", "unobserved"].map(|n| sorted[n].as_u64().expect("a count"));
                assert!(0 < unobserved && unobserved < calls, "{sorted}");
            } else {
                let outcomes = outcomes_of_sorted(&trace.events);
                for outcome in ["return", "unobserved"] {
                    assert!(outcomes.contains(&outcome.into()), "{outcome}: {}", trace.summary);
                }
            }
            assert!(trace.stderr.contains("loaded greenlet"), "{}", trace.stderr);
        }
    }
}

/// Held for reading by tests that put return probes into programs: another program that imports greenlet is not safe from them
/// at once.
static RETURN_PROBES: RwLock<()> = RwLock::new(());

/// Since Linux 6.13.
fn has_sessions() -> bool {
    let uname = nix::sys::utsname::uname().expect("the kernel tells");
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map_while(|number| number.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 13)
}

/// Python: imports greenlet, then forks.
const FORKS: &str = "import greenlet, os\nsorted([2, 1])\nif os.fork() == 0:\n    sorted([4, 3])\n    os._exit(0)\nos.wait()\n";

/// As servers that begin their workers do.
#[test]
fn children_of_a_program_that_loaded_greenlet_are_followed() {
    for python in packaged() {
        let command = [python.as_os_str(), "-c".as_ref(), FORKS.as_ref()];
        let options = ["--follow", "-e", "none", "-f", "builtins.sorted"];
        let ran = Run::start(&options, &command).wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        let calls = calls(&ran.events);
        let of = |first: u64| {
            let sorted = calls.iter().find(|call| call["args"][0]["list"][0] == first);
            sorted.unwrap_or_else(|| panic!("{first}: {}", ran.stderr))["pid"].clone()
        };
        assert_ne!(of(2), of(4));
    }
}

/// A forked child has the breakpoints of its parent.
#[test]
fn a_forked_child_that_is_not_traced_is_rid_of_the_breakpoints() {
    let _shared = RETURN_PROBES.read().unwrap_or_else(PoisonError::into_inner);
    for python in packaged() {
        let mut program = Program::real(&python, "switching.py", &["plain"]);
        let tracer = Tracer::attach(&program, &TRACED);
        for _ in 0..3 {
            program.tell("fork");
            let line = program.line();
            let child = line.strip_prefix("child ").expect("it forks");
            let child: u32 = child.parse().expect("a process id");
            breakpoints_go(child);
            kill(Pid::from_raw(child as i32), Signal::SIGUSR1).expect("the child waits");
            assert_eq!(program.line(), "ended 0");
            program.goes_on();
        }
        let trace = tracer.stop();
        assert!(outcomes_of_sorted(&trace.events).contains(&"return".into()));
        program.tell("end");
        assert!(program.end());
    }
}

#[test]
fn each_call_is_of_its_greenlet() {
    let _shared = RETURN_PROBES.read().unwrap_or_else(PoisonError::into_inner);
    for python in packaged() {
        for way in ["greenlet", "gevent"] {
            let mut program = Program::real(&python, "greenlets.py", &[way]);
            let tracer = Tracer::attach(&program, &["-e", "none", "-f", "math.fabs"]);
            let truth = program.run().remove(0);
            let trace = tracer.stop();
            let mut truth: Vec<Value> = truth.as_array().expect("acts").clone();
            let mut seen: Vec<Value> = calls(&trace.events)
                .iter()
                .map(|call| {
                    assert_eq!(call["unattributed"], Value::Null, "{call}");
                    let greenlet = &call["greenlet"];
                    let known = match greenlet {
                        Value::Null => Value::Null,
                        _ => serde_json::json!([greenlet["object"], greenlet["id"]]),
                    };
                    let n = call["args"][0].as_u64().expect("a number");
                    serde_json::json!([n, known])
                })
                .collect();
            // Of two threads, whose acts are noted in an order of their own.
            let number = |act: &Value| act[0].as_u64();
            truth.sort_by_key(number);
            seen.sort_by_key(number);
            assert!(truth.len() > 15, "{truth:?}");
            assert_eq!(seen, truth, "{way}: {}", python.display());
            breakpoints_go(program.pid());
            assert!(program.end(), "{way}: it ended as if nothing was");
        }
    }
}
