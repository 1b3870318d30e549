//! What descriptors stood for, against what the traced program knows of them.

use serde_json::Value;
use tests::{Folder, Program, Recording, Trace, Tracer, interpreters, replay};

const TRACED: [&str; 2] = ["-e", "file,net"];

/// Compares the target of each call that the program told of.
fn compare(truth: &[Value], trace: &Trace) {
    println!("{}: {} uses", trace.python(), truth.len());
    // 2 at the beginning, 17 in each of 20 rounds of two threads.
    assert_eq!(truth.len(), 2 + 17 * 20 * 2);
    for used in truth {
        let mut calls = trace.events.iter().filter(|call| {
            let mut args = call["args"].as_array().into_iter().flatten();
            args.any(|arg| *arg == used["data"])
        });
        let call = calls.next().unwrap_or_else(|| panic!("no call with {used}"));
        assert!(calls.next().is_none(), "two calls with {used}");
        assert_eq!(call["target"], used["target"], "{call}");
    }
    assert_eq!(trace.summary["lost"], 0);
}

#[test]
fn a_descriptor_has_the_name_of_what_it_was_at_that_call() {
    for python in interpreters() {
        let mut program = Program::start(&python, "handles.py");
        let tracer = Tracer::attach(&program, &TRACED);
        let truth = program.run();
        compare(&truth, &tracer.stop());
        assert!(program.end());
    }
}

#[test]
fn a_recording_knows_them_too() {
    let folder = Folder::new("handles");
    for python in interpreters().into_iter().take(2) {
        let mut program = Program::start(&python, "handles.py");
        let file = folder.file("x.pytrace");
        let recording = Recording::of(&program, &file, &TRACED);
        let truth = program.run();
        recording.stop();
        // The files are gone by then.
        assert!(program.end());
        compare(&truth, &replay(&file, &[]));
    }
}
