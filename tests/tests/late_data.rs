//! Data that leaves the process later than the call that has it: by a buffer that is full, by `flush` and `close`, by
//! the death of a file, by the end of the program. The default trace shows one event for each act, no more.

use std::{fs, path::Path};

use serde_json::Value;
use tests::{Program, Trace, Tracer, calls, interpreters};

/// What the trace shows between the announcement of an act and its end.
fn events_of<'a>(all: &'a [Value], act: &str) -> Vec<&'a Value> {
    let announced =
        |call: &&Value, path: &str| call["function"] == "posix.access" && text(&call["args"][0]) == path;
    let begin = format!("/begin/{act}");
    let after = all.iter().skip_while(|call| !announced(call, &begin)).skip(1);
    after.take_while(|call| !announced(call, "/end")).collect()
}

/// A path as both Pythons write it.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Compares what the program did with the events, act by act.
fn compare(truth: &[Value], events: &[Value], python: &Path) {
    let mut left = 0;
    for (n, act) in truth.iter().enumerate() {
        let seen = events_of(events, &n.to_string());
        assert_eq!(
            seen.len() as u64,
            act["calls"],
            "{}: {act}: {seen:?}",
            python.display()
        );
        if act["named"] == true {
            assert!(
                seen.iter().all(|call| call["target"]["path"] == act["path"]),
                "{act}: {seen:?}"
            );
        }
        if act["left"] != 0 {
            assert!(!seen.is_empty(), "{act} left unseen");
            left += 1;
        }
    }
    println!(
        "{}: {} acts, in {left} of them data left",
        python.display(),
        truth.len()
    );
    assert!(left > 50);
}

/// What left by the end of the program was shown, and only that.
fn compare_exit(files: &[Value], events: &[Value]) {
    let seen = events_of(events, "exit");
    for file in files {
        let (path, fd) = (&file[0], &file[1]);
        let size = fs::metadata(text(path)).expect("the program made it").len();
        let of_file = |call: &&&Value| call["target"]["fd"] == *fd && call["target"]["path"] == *path;
        let count = seen.iter().filter(of_file).count();
        // CPython may close the descriptor before the buffer that is above it; then nothing leaves.
        assert_eq!(count, 1, "{path}, {size} bytes: {seen:?}");
    }
}

#[test]
fn data_that_leaves_later_is_shown_when_it_leaves() {
    for python in interpreters() {
        let mut program = Program::start(&python, "late_data.py");
        let tracer = Tracer::attach(&program, &[]);
        let said = program.run();
        assert!(program.end());
        let trace: Trace = tracer.wait();
        let (truth, files): (Vec<_>, Vec<_>) = said.into_iter().partition(Value::is_object);
        let events = calls(&trace.events);
        compare(&truth, &events, &python);
        compare_exit(&files, &events);
        assert_eq!(trace.summary["lost"], 0);
        let folder = text(&files[0][0]);
        let folder = Path::new(&folder).parent().expect("a folder");
        fs::remove_dir_all(folder).expect("the program's own folder");
    }
}
