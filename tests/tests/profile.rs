//! `profile`: the functions that the program itself says it was in, for as long as it says.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use serde_json::Value;
use tests::{
    Folder, Program, interpreters, packaged,
    profiled::{Profiler, folded, name, shares},
};

const FUNCTIONS: [&str; 3] = ["large", "middle", "small"];
/// Points of share.
const NEAR: f64 = 3.0;
/// Samples enough that shares are near: a thousand a second.
const OFTEN: [&str; 2] = ["--rate", "997"];

/// What `shares.py` says of itself: seconds by function.
fn told(program: &mut Program) -> BTreeMap<&'static str, f64> {
    let said = program.run();
    let seconds = |name: &str| said[0][name].as_f64().expect("a number");
    FUNCTIONS.map(|name| (name, seconds(name))).into_iter().collect()
}

fn assert_near(found: &BTreeMap<&str, f64>, expected: &BTreeMap<&str, f64>, what: &str) {
    for (name, share) in expected {
        assert!(
            (found[name] - share).abs() <= NEAR,
            "{what}: {found:?}, but {expected:?}"
        );
    }
}

/// All there was: no sample lost, or of which a frame could not be read.
fn assert_whole(said: &str) {
    assert!(said.contains(" Hz, 0 lost, 0 unreadable, 0 cut, "), "{said}");
}

#[test]
fn functions_take_the_share_that_the_program_measures() {
    for python in interpreters() {
        let mut program = Program::start_of(&python, "shares.py", &["1", "5"]);
        let profiler = Profiler::attach(&program, &OFTEN);
        let told = told(&mut program);
        let profile = profiler.stop();
        assert_whole(&profile.said);
        let expected = shares(told.clone());
        let found = profile.shares(&FUNCTIONS);
        println!("{}: {found:?} of {expected:?}", python.display());
        assert_near(&found, &expected, &python.display().to_string());
        // The whole stack is there, from the thread's beginning on.
        let depth = |frames: &Vec<String>| frames.iter().filter(|frame| name(frame) == "small").count();
        let deepest = profile.stacks.iter().map(|(frames, _)| frames);
        let deepest = deepest.max_by_key(|frames| depth(frames)).expect("stacks");
        let names: Vec<&str> = deepest.iter().map(|frame| name(frame)).collect();
        let expected = [&["run", "work"][..], &["small"; 31]].concat();
        assert!(names.ends_with(&expected), "{names:?}");
    }
}

#[test]
fn many_threads_take_no_more_than_they_do() {
    for python in interpreters() {
        let mut program = Program::start_of(&python, "shares.py", &["10", "5"]);
        let profiler = Profiler::attach(&program, &[&OFTEN[..], &["--threads"]].concat());
        let told = told(&mut program);
        let profile = profiler.stop();
        assert_whole(&profile.said);
        let expected = shares(told.clone());
        assert_near(
            &profile.shares(&FUNCTIONS),
            &expected,
            &python.display().to_string(),
        );
        // Threads that wait for the interpreter are on no processor.
        let seconds: f64 = told.values().sum();
        let found = FUNCTIONS
            .map(|function| profile.time_in(function))
            .iter()
            .sum::<u64>() as f64
            / 1e6;
        println!("{}: {found} s of {seconds}", python.display());
        assert!((found / seconds - 1.0).abs() < 0.1, "{found} s of {seconds}");
        let at_work = profile
            .stacks
            .iter()
            .filter(|(frames, _)| frames.iter().any(|frame| name(frame) == "work"));
        let threads: std::collections::BTreeSet<&String> = at_work.map(|(frames, _)| &frames[0]).collect();
        assert_eq!(threads.len(), 10, "{threads:?}");
        assert!(threads.iter().all(|thread| thread.starts_with("thread ")));
    }
}

#[test]
fn the_hottest_functions_are_those_of_py_spy() {
    let spies = packaged()
        .into_iter()
        .map(|python| python.with_file_name("py-spy"));
    let Some(spy) = spies.into_iter().find(|spy| spy.exists()) else {
        println!("SKIPPED: py-spy is not here");
        return;
    };
    for python in interpreters() {
        let Some((theirs, truth)) = of_py_spy(&spy, &python) else {
            println!("py-spy does not know {}", python.display());
            continue;
        };
        let mut program = Program::start_of(&python, "shares.py", &["1", "5"]);
        let profiler = Profiler::attach(&program, &OFTEN);
        let expected = shares(told(&mut program));
        let ours = profiler.stop().shares(&FUNCTIONS);
        let what = python.display().to_string();
        println!("{what}: {ours:?}, py-spy {theirs:?}, where it was {truth:?}");
        assert_eq!(hottest(&ours), hottest(&theirs), "{what}");
        for (name, share) in &theirs {
            // It counts threads that wait for a processor as well: on a machine at work it is itself so far from the truth.
            let off = (share - truth[name]).abs();
            // What the program did was not quite the same in both runs.
            let runs = expected[name] - truth[name];
            assert!(
                (ours[name] - share - runs).abs() <= NEAR + off,
                "{what}: {ours:?}"
            );
        }
        assert_near(&ours, &expected, &what);
    }
}

/// Functions, those with the largest share first.
fn hottest<'s>(shares: &'s BTreeMap<&str, f64>) -> Vec<&'s str> {
    let mut names: Vec<&str> = shares.keys().copied().collect();
    names.sort_by(|a, b| shares[b].total_cmp(&shares[a]));
    names
}

type Shares = BTreeMap<&'static str, f64>;

/// The shares that py-spy finds in the same program, and those that the program measures meanwhile. `None`: it cannot look into it.
fn of_py_spy(spy: &Path, python: &Path) -> Option<(Shares, Shares)> {
    let folder = Folder::new("py-spy");
    let output = folder.text("profile.raw");
    let mut program = Program::start_of(python, "shares.py", &["1", "5"]);
    let mut spying = tests::command(spy)
        .args(["record", "--format", "raw", "--rate", "500", "--duration", "600"])
        .args(["-o", &output, "--pid", &program.pid().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("py-spy starts");
    let truth = told(&mut program);
    assert!(program.end(), "the program fails under py-spy");
    // It ends with the program.
    let status = spying.wait().expect("it can be waited for");
    let text = std::fs::read_to_string(&output)
        .ok()
        .filter(|_| status.success())?;
    let stacks = folded(&text);
    let time_in = |function: &str| -> f64 {
        let with = stacks
            .iter()
            .filter(|(frames, _)| frames.iter().any(|frame| name(frame) == function));
        with.map(|(_, samples)| *samples as f64).sum()
    };
    let found = FUNCTIONS.map(|function| (function, time_in(function)));
    // Of a free-threaded build it may see threads and no frames.
    let knows = found.iter().all(|(_, samples)| *samples > 0.0);
    knows.then(|| (shares(found), shares(truth)))
}

#[test]
fn deep_stacks_are_cut_at_their_outer_end_and_say_so() {
    for python in interpreters() {
        for (depth, cut) in [("100", false), ("400", true)] {
            let mut program = Program::start_of(&python, "deep.py", &[depth]);
            let profiler = Profiler::attach(&program, &OFTEN);
            program.run();
            let profile = profiler.stop();
            assert!(
                profile.said.contains(" 0 lost, 0 unreadable, "),
                "{}",
                profile.said
            );
            let hot = profile
                .stacks
                .iter()
                .filter(|(frames, _)| frames.last().is_some_and(|frame| name(frame) == "innermost"));
            let hot: Vec<&Vec<String>> = hot.map(|(frames, _)| frames).collect();
            assert!(!hot.is_empty(), "{}", profile.said);
            for frames in hot {
                let down = frames.iter().filter(|frame| name(frame) == "down").count();
                let outer = if cut { "[more frames]" } else { "<module>" };
                assert_eq!(name(&frames[0]), outer);
                assert_eq!((down, frames.len()), if cut { (126, 128) } else { (100, 103) });
            }
        }
    }
}

#[test]
fn a_program_may_end_meanwhile() {
    for python in interpreters() {
        let mut program = Program::start_of(&python, "shares.py", &["2", "0.5"]);
        let profiler = Profiler::attach(&program, &[]);
        told(&mut program);
        assert!(program.end());
        let profile = profiler.wait();
        assert!(profile.said.contains(" lost, 0 unreadable, "), "{}", profile.said);
        assert!(profile.time_in("work") > 0);
    }
}

#[test]
fn waits_take_the_time_that_the_program_measures() {
    for python in interpreters() {
        let mut program = Program::start(&python, "waits.py");
        let profiler = Profiler::attach(&program, &["--mode", "both"]);
        let said: Value = program.run().remove(0);
        let profile = profiler.stop();
        for (function, call) in [
            ("sleeps", "time.sleep"),
            ("reads", "_socket.socket.recv"),
            ("locks", "lock.acquire"),
        ] {
            let seconds = said[function].as_f64().expect("a number");
            let waited = profile.stacks.iter().filter(|(frames, _)| {
                let last = frames.last().and_then(|frame| frame.strip_suffix(" [waiting]"));
                let from = frames.iter().rev().nth(1);
                from.is_some_and(|frame| name(frame) == function)
                    && last.is_some_and(|last| last.ends_with(call))
            });
            let waited = waited.map(|(_, time)| *time).sum::<u64>() as f64 / 1e6;
            println!("{}: {function} {waited} of {seconds}", python.display());
            assert!(
                (waited - seconds).abs() < 0.02 + 0.05 * seconds,
                "{function}: {waited} s of {seconds}"
            );
        }
    }
}
