//! Recordings and what is made of them, when the traced process is long gone.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};
use tests::{
    Folder, Program, Recording, Trace, assert_same, calls, interpreters, own_calls, parse, replay, tool,
    truth_functions,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// Records a program of `truth.call`s; what it wrote down itself. It is gone afterwards.
fn record(python: &Path, program: &str, file: &Path) -> Vec<Value> {
    let mut program = Program::start(python, program);
    let recording = Recording::of(&program, file, &truth_functions());
    let truth = program.run();
    let said = recording.stop();
    assert!(said.contains(" 0 lost "), "{said}");
    assert!(program.end());
    truth
}

#[test]
fn a_replay_is_the_truth() {
    let folder = Folder::new("replay");
    for python in interpreters() {
        for program in ["values.py", "outcomes.py"] {
            let file = folder.file("x.pytrace");
            let truth = record(&python, program, &file);
            let trace = replay(&file, &["--nested"]);
            assert_same(&own_calls(&trace.events), &truth);
            assert_eq!(trace.summary["lost"], 0);
            assert_eq!(trace.summary.get("cut"), None);
            let mode = fs::metadata(&file)
                .expect("the file is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// The events of a replay that are like this.
fn only(trace: &Trace, like: impl Fn(&Value) -> bool) -> Vec<Value> {
    trace.events.iter().filter(|event| like(event)).cloned().collect()
}

#[test]
fn a_replay_takes_every_filter() {
    let folder = Folder::new("filters");
    for python in interpreters() {
        let file = folder.file("x.pytrace");
        record(&python, "outcomes.py", &file);
        let all = replay(&file, &[]);
        let raised = only(&all, |event| event["outcome"] == "raise");
        assert!(raised.len() > 5 && raised.len() < all.events.len());
        assert_eq!(replay(&file, &["--errors"]).events, raised);
        let slow = only(&all, |event| event["duration_ns"].as_u64() >= Some(20_000));
        assert_eq!(replay(&file, &["--min-duration", "20us"]).events, slow);
        assert_eq!(replay(&file, &["--max-events", "3"]).events, all.events[..3]);
        let stackless = replay(&file, &["--stack", "0"]).events;
        assert!(stackless.iter().all(|event| event["stack"] == json!([])));
        assert_eq!(stackless.len(), all.events.len());

        let unlinked = replay(&file, &["-e", "none", "-f", "*.unlink"]);
        let names = |trace: &Trace| -> Vec<Value> {
            let calls = trace.events.iter();
            calls.map(|call| call["function"].clone()).collect()
        };
        assert_eq!(names(&unlinked), ["posix.unlink"]);
        assert_eq!(unlinked.summary["hits"], 1, "as if nothing else had been traced");
        assert_eq!(replay(&file, &["-f", "*.unlink"]).events, unlinked.events);
        let files = names(&replay(&file, &["-e", "file"]));
        assert_eq!(files, ["posix.unlink", "posix.mkdir", "posix.read"]);
    }
}

#[test]
fn what_a_killed_tracer_leaves_can_be_read() {
    let folder = Folder::new("killed");
    for python in interpreters() {
        let file = folder.file("x.pytrace");
        let program = Program::start(&python, "busy.py");
        let recording = Recording::of(&program, &file, &["-e", "none", "-f", "*operator.is_"]);
        let written = || fs::metadata(&file).expect("the file is there").len();
        while written() < 200_000 {
            std::thread::yield_now();
        }
        recording.kill();
        let whole = fs::read(&file).expect("the recording");
        // The kill may have hit between two blocks: this one surely lacks its last bytes.
        fs::write(&file, &whole[..whole.len() - 5]).expect("it can be cut");
        let trace = replay(&file, &[]);
        assert!(trace.stderr.contains("was not finished"), "{}", trace.stderr);
        assert_eq!(trace.summary["cut"], true);
        let calls = calls(&trace.events);
        assert!(calls.len() > 500, "{}", calls.len());
        for call in &calls {
            let mut args = call["args"].as_array().expect("arguments").iter();
            let is_object = |arg: &Value| {
                arg["object"]
                    .as_str()
                    .is_some_and(|name| name.ends_with(".object"))
            };
            assert!(args.all(is_object), "{call}");
            match call["outcome"].as_str() {
                Some("return") => assert!(call["result"].is_boolean(), "{call}"),
                Some("raise") => assert_eq!(
                    call["exception"]["object"].as_str().map(last_part),
                    Some("TypeError")
                ),
                _ => assert!(
                    ["the recording ends", "its return was not recorded"]
                        .contains(&call["why"].as_str().unwrap_or_default()),
                    "{call}"
                ),
            }
            assert_eq!(call["stack"][0]["function"], "work");
        }
    }
}

#[test]
fn other_formats_have_the_same_calls() {
    let folder = Folder::new("formats");
    for python in interpreters() {
        let file = folder.file("x.pytrace");
        record(&python, "outcomes.py", &file);
        let all = replay(&file, &[]);
        let printed = tool(&["replay", text(&file), "--format", "chrome"]);
        let slices: Vec<Value> = only_slices(&parse(&printed.stdout));
        assert_eq!(slices, all.events.iter().map(slice).collect::<Vec<_>>());

        let printed = tool(&["replay", text(&file), "--format", "otlp"]);
        let logs: Vec<Value> = printed.stdout.lines().map(parse).collect();
        let (summary, logs) = logs.split_last().expect("a summary");
        assert_eq!(log(summary)["eventName"], "pytrace.summary");
        assert_eq!(
            logs.iter().map(known_of_log).collect::<Vec<_>>(),
            all.events.iter().map(known_of_call).collect::<Vec<_>>()
        );
    }
}

/// The slices of a Chrome trace.
fn only_slices(trace: &Value) -> Vec<Value> {
    let events = trace.as_array().expect("an array").iter();
    let mut slices: Vec<Value> = events.filter(|event| event["ph"] == "X").cloned().collect();
    for slice in &mut slices {
        // Since the machine's start; the calls' times are Unix times.
        slice["ts"].take();
    }
    slices
}

/// The slice that a call is to be.
fn slice(call: &Value) -> Value {
    let mut args = call.clone();
    let fields = args.as_object_mut().expect("an object");
    for field in ["type", "pid", "tid", "time_ns", "duration_ns", "function"] {
        fields.remove(field);
    }
    if fields["parent"].is_null() {
        fields.remove("parent");
    }
    let effect = call["effect"].as_str().unwrap_or_default();
    json!({
        "ph": "X",
        "name": call["function"],
        "cat": effect.split('.').next(),
        "pid": call["pid"],
        "tid": call["tid"],
        "ts": null,
        "dur": call["duration_ns"].as_f64().map(|ns| ns / 1000.0),
        "args": args,
    })
}

/// The log record of a line.
fn log(line: &Value) -> &Value {
    &line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
}

/// What a log record says of its call: function, time, thread, line, exception.
fn known_of_log(line: &Value) -> Value {
    let record = log(line);
    let attributes = record["attributes"].as_array().expect("attributes");
    let get = |key: &str, kind: &str| {
        let found = attributes.iter().find(|attribute| attribute["key"] == key);
        found.map(|attribute| attribute["value"][kind].clone())
    };
    json!([
        record["timeUnixNano"],
        get("pytrace.function", "stringValue"),
        get("thread.id", "intValue"),
        get("code.function.name", "stringValue"),
        get("code.file.path", "stringValue"),
        get("code.line.number", "intValue"),
        get("exception.type", "stringValue"),
    ])
}

/// The same of a call.
fn known_of_call(call: &Value) -> Value {
    let frame = &call["stack"][0];
    let exception = call["exception"]["object"].as_str();
    let exception = exception.map(|name| {
        let bare = name
            .strip_prefix("builtins.")
            .or(name.strip_prefix("exceptions."));
        bare.unwrap_or(name)
    });
    json!([
        call["time_ns"].to_string(),
        call["function"],
        call["tid"].to_string(),
        frame["function"],
        frame["file"],
        frame["line"].to_string(),
        exception,
    ])
}

#[test]
fn a_diff_shows_what_only_one_of_two_has() {
    let folder = Folder::new("diff");
    for python in interpreters() {
        let (a, b) = (folder.file("a.pytrace"), folder.file("b.pytrace"));
        let mut program = Program::start(&python, "unlink.py");
        for (file, words) in [(&a, "both left"), (&b, "right both right")] {
            let recording = Recording::of(&program, file, &["-e", "none", "-f", "posix.unlink"]);
            program.run_with(words);
            recording.stop();
        }
        let printed = tool(&["diff", text(&a), text(&b)]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/unlink.py");
        let effect = replay(&a, &[]).events[0]["effect"].clone();
        let effect = effect.as_str().expect("a name");
        let line = |count: u32, name: &str| {
            let place = format!("{}:13 <module>", script.display());
            format!("{count:>8}  {effect:<20} posix.unlink(path='/nope/{name}')  {place}\n")
        };
        let expected = format!(
            "only in {}: 1 effects\n{}only in {}: 1 effects\n{}",
            a.display(),
            line(1, "left"),
            b.display(),
            line(2, "right")
        );
        assert_eq!(
            (printed.code, printed.stdout),
            (Some(0), expected),
            "{}",
            printed.stderr
        );
        let same = tool(&["diff", text(&a), text(&a)]);
        assert_eq!(same.stdout.matches(": 0 effects\n").count(), 2);
    }
}

#[test]
fn what_is_no_recording_is_refused_in_one_line() {
    let folder = Folder::new("refused");
    for python in interpreters().into_iter().take(1) {
        let file = folder.file("x.pytrace");
        record(&python, "outcomes.py", &file);
        let whole = fs::read(&file).expect("the recording");
        let flipped = |at: usize| {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            damaged
        };
        let damaged = flipped(40);
        let mut newer = whole.clone();
        newer[8] += 1;
        for (bytes, reason) in [
            (&damaged[..], "the block at offset 16 does not have the checksum"),
            (&newer, "version 3 of the format"),
            (&whole[..20], "before the tracer had attached"),
            (b"#!/usr/bin/python", "not a recording"),
            (b"", "not a recording"),
        ] {
            fs::write(&file, bytes).expect("it can be written");
            let printed = tool(&["replay", text(&file)]);
            assert_eq!((printed.code, printed.stderr.lines().count()), (Some(1), 1));
            assert!(printed.stderr.contains(reason), "{}", printed.stderr);
            assert_eq!(printed.stdout, "");
        }
        fs::write(&file, flipped(whole.len() - 1)).expect("it can be written");
        let printed = tool(&["replay", text(&file)]);
        assert_eq!((printed.code, printed.stderr.lines().count()), (Some(1), 1));
        assert!(
            printed.stderr.contains("could be read only in part"),
            "{}",
            printed.stderr
        );
        for args in [&["-e", "flie"][..], &["-o", "y.pytrace"], &["--no-such-option"]] {
            let printed = tool(&[&["replay", text(&file)], args].concat());
            assert_eq!(printed.code, Some(2), "{}", printed.stderr);
        }
    }
}
