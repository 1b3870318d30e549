//! The asyncio task of each effect, against what the program itself says.

use std::{collections::HashMap, path::PathBuf};

use serde_json::Value;
use tests::{
    Folder, Program, Recording, Run, Tracer, calls, interpreters, packaged, parse, program, replay, tool,
    version,
};

const PROGRAM: &str = "tasks.py";
const UNLINK: [&str; 2] = ["-e", "file.unlink"];

/// Those that have tasks which can be told.
fn with_tasks() -> Vec<PathBuf> {
    let has = |python: &PathBuf| {
        let version = version(python);
        !version.starts_with("Python 2") && !version.starts_with("Python 3.6")
    };
    interpreters().into_iter().chain(packaged()).filter(has).collect()
}

/// Each effect has the task that the program says, or none.
fn assert_same_tasks(events: &[Value], truth: &[Value], python: &str) {
    let truth: HashMap<&str, &Value> = truth
        .iter()
        .filter_map(|act| Some((act["path"].as_str()?, &act["task"])))
        .collect();
    assert!(truth.len() > 1000, "{python}: {}", truth.len());
    let mut seen = 0;
    for call in calls(events) {
        let path = call["args"][0].as_str().expect("a path");
        let Some(task) = truth.get(path) else { continue };
        seen += 1;
        assert_eq!(&&call["task"], task, "{python}: {call}");
        assert_eq!(call["unattributed"], Value::Null, "{python}: {call}");
    }
    assert_eq!(seen, truth.len(), "{python}");
    println!("{python}: {seen} effects");
}

#[test]
fn each_effect_has_its_task() {
    for python in with_tasks() {
        let mut program = Program::start(&python, PROGRAM);
        let tracer = Tracer::attach(&program, &UNLINK);
        let truth = program.run();
        let trace = tracer.stop();
        assert_same_tasks(&trace.events, &truth, &python.display().to_string());
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end(), "the program went on as if nothing was");
    }
}

/// The program imports asyncio while it is traced.
#[test]
fn tasks_are_told_where_asyncio_comes_later() {
    for python in with_tasks() {
        let command = [python.display().to_string(), program(PROGRAM)];
        let mut run = Run::start(&UNLINK, &command);
        assert_eq!(run.line().as_deref(), Some("ready"));
        run.tell("go");
        let mut truth = Vec::new();
        while let Some(line) = run.line().filter(|line| line != "done") {
            truth.push(parse(&line));
        }
        let ran = run.wait();
        assert!(ran.status.success(), "{}", ran.stderr);
        assert_same_tasks(&ran.events, &truth, &python.display().to_string());
    }
}

/// In a recording they are as they were; there is a filter for them, and a place in each format.
#[test]
fn recordings_have_tasks_too() {
    let folder = Folder::new("tasks");
    // 3.7 has no names.
    let named = |python: &PathBuf| !version(python).starts_with("Python 3.7");
    for python in with_tasks().into_iter().filter(named) {
        let file = folder.file("x.pytrace");
        let mut program = Program::start(&python, PROGRAM);
        let recording = Recording::of(&program, &file, &UNLINK);
        let truth = program.run();
        recording.stop();
        let all = replay(&file, &[]);
        assert_same_tasks(&all.events, &truth, &python.display().to_string());
        let is_load = |task: &Value| task["name"] == "load";
        let loads = truth.iter().filter(|act| is_load(&act["task"])).count();
        let filtered = replay(&file, &["--task", "loa?"]);
        assert_eq!(filtered.events.len(), loads);
        assert!(filtered.events.iter().all(|call| is_load(&call["task"])));
        let path = file.to_str().expect("a path that is text");
        let text = tool(&["replay", path, "--tasks", "--task", "load"]).stdout;
        let shown = text
            .lines()
            .filter(|line| line.contains(" act [load]  posix.unlink('"));
        assert_eq!((shown.count(), text.lines().count()), (loads, loads), "{text}");
        let text = tool(&["replay", path, "--task", "load"]).stdout;
        let shown = text.lines().filter(|line| line.contains(" act  posix.unlink('"));
        assert_eq!((shown.count(), text.lines().count()), (loads, loads), "{text}");
        for format in ["otlp", "chrome"] {
            let printed = tool(&["replay", path, "--task", "load", "--format", format]).stdout;
            assert!(printed.matches("load").count() >= loads, "{printed}");
        }
    }
}

/// Where a version has tasks that cannot be told, that is said, and none is.
#[test]
fn what_cannot_be_told_is_said() {
    for python in interpreters() {
        if !version(&python).starts_with("Python 3.6") {
            continue;
        }
        let program = Program::start(&python, "tasks_unknown.py");
        let tracer = Tracer::attach(&program, &UNLINK);
        let trace = tracer.stop();
        let said = trace.stderr.matches("asyncio tasks are not told").count();
        assert_eq!(said, 1, "{}", trace.stderr);
    }
}
