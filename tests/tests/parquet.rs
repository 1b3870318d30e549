//! Recordings as Parquet, read by another implementation.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tests::{Folder, Program, Recording, interpreters, parse, programs, replay, tool};

/// The Python that has pyarrow; `cargo xtask test` makes it.
fn pyarrow() -> Option<PathBuf> {
    let python = std::env::var_os("PYTRACE_DRIVERS").map(PathBuf::from);
    if python.is_none() {
        println!("SKIPPED: no Python with pyarrow here");
    }
    python
}

/// The footer and the rows of a Parquet file.
fn read(pyarrow: &Path, file: &str) -> (Value, Vec<Value>) {
    let output = tests::command(pyarrow)
        .arg(programs().join("parquet_rows.py"))
        .arg(file)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let mut lines = printed.lines().map(parse);
    let footer = lines.next().expect("a footer");
    (footer, lines.collect())
}

/// Columns of JSON text.
const JSON: [&str; 8] = [
    "target",
    "self",
    "args",
    "kwargs",
    "filled",
    "result",
    "exception",
    "stack",
];

/// A row with its JSON read. A result of None is text, `null`; no result is none.
fn with_values(mut row: Value) -> Value {
    assert_eq!(row["result"].is_string(), row["outcome"] == "return", "{row}");
    for column in JSON {
        if let Some(text) = row[column].as_str() {
            row[column] = parse(text);
        }
    }
    row
}

/// How a `target_` column of texts writes what `target` has: a path may be a descriptor there.
fn plain(value: &Value) -> Value {
    match (&value["str"], &value["len"]) {
        _ if value.is_string() => value.clone(),
        (Value::String(text), Value::Number(_)) => format!("{text}…").into(),
        _ => Value::Null,
    }
}

/// How many there are in all, of which some were captured.
fn total(event: &Value, key: &str, captured: Option<usize>) -> Value {
    match &event[format!("{key}_len")] {
        Value::Null => json!(captured),
        len => len.clone(),
    }
}

/// The row that a call of the JSON format is to be.
fn row_of(event: &Value) -> Value {
    let frame = &event["stack"][0];
    let target = &event["target"];
    json!({
        "id": event["id"],
        "parent": event["parent"],
        "time": event["time_ns"].as_u64().map(|ns| ns / 1000),
        "time_ns": event["time_ns"],
        "duration_ns": event["duration_ns"],
        "pid": event["pid"],
        "tid": event["tid"],
        "function": event["function"],
        "effect": event["effect"],
        "outcome": event["outcome"],
        "error_type": event["exception"]["object"],
        "why": event["why"],
        "file": frame["file"],
        "line": frame["line"],
        "python_function": frame["function"],
        "target_path": plain(&target["path"]),
        "target_peer": plain(&target["peer"]),
        "target_fd": target["fd"].as_i64(),
        "target_sql": plain(&target["sql"]),
        "target": target,
        "self": event["self"],
        "args": event["args"],
        "args_len": total(event, "args", event["args"].as_array().map(Vec::len)),
        "kwargs": event["kwargs"],
        "kwargs_len": total(event, "kwargs", event["kwargs"].as_object().map(|kwargs| kwargs.len())),
        "filled": event["filled"],
        "cut": i32::from(event["cut"] == true),
        "weight": event["weight"].as_u64().unwrap_or(1),
        "late": i32::from(event["late"] == true),
        "result": event["result"],
        "exception": event["exception"],
        "stack": event["stack"],
        "greenlet_id": event["greenlet"]["id"],
        "task": plain(&event["task"]["name"]),
        "task_id": event["task"]["id"],
        "task_coroutine": plain(&event["task"]["coroutine"]),
        "trace_id": event["trace"]["trace_id"],
        "span_id": event["trace"]["span_id"],
    })
}

fn record(python: &Path, program: &str, args: &[&str], file: &Path) {
    let mut program = Program::start(python, program);
    let recording = Recording::of(&program, file, args);
    program.run();
    recording.stop();
    assert!(program.end());
}

#[test]
fn another_reader_finds_every_call() {
    let (Some(pyarrow), Some(python)) = (pyarrow(), interpreters().pop()) else {
        return;
    };
    let folder = Folder::new("parquet");
    let (recording, table) = (folder.file("x.pytrace"), folder.text("x.parquet"));
    for (program, args) in [
        ("effects.py", &["--nested", "--stack", "3", "--max-str", "16"][..]),
        ("outcomes.py", &["-e", "all", "-f", "*.pop"]),
    ] {
        record(&python, program, args, &recording);
        let printed = tool(&["replay", &folder.text("x.pytrace"), "-o", &table]);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let mode = fs::metadata(&table).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let trace = replay(&recording, &[]);
        let (footer, rows) = read(&pyarrow, &table);
        assert_eq!(footer["pytrace-ebpf.header"], trace.header);
        assert_eq!(footer["pytrace-ebpf.summary"], trace.summary);
        assert_eq!(footer["time"], "timestamp[us, tz=UTC]");
        let calls = trace.events.iter().filter(|event| event["type"] == "call");
        let expected: Vec<Value> = calls.map(row_of).collect();
        assert!(expected.len() > 10, "{}", expected.len());
        // Bytecodes are rows too; their names have no module.
        let is_call = |row: &Value| row["function"].as_str().is_some_and(|name| name.contains('.'));
        let rows: Vec<Value> = rows.into_iter().map(with_values).filter(is_call).collect();
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected);
        }
        assert_eq!(rows.len(), expected.len());
    }
}

#[test]
fn parquet_is_made_of_recordings_only() {
    let folder = Folder::new("parquet-live");
    let table = folder.text("x.parquet");
    let pid = std::process::id().to_string();
    let refused = [
        &["--pid", &pid, "-o", &table][..],
        &["--pid", &pid, "--format", "parquet"],
        &["run", "-o", &table, "--", "true"],
    ];
    for args in refused {
        let printed = tool(args);
        assert_eq!(printed.code, Some(2), "{args:?}");
        let remedy =
            "record with `-o calls.pytrace`, then `pytrace-ebpf replay calls.pytrace -o calls.parquet`";
        assert!(printed.stderr.contains(remedy), "{}", printed.stderr);
        assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
    }
    for options in [&["-c"][..], &["--format", "json"]] {
        let printed = tool(&[&["replay", "x.pytrace", "-o", &table], options].concat());
        assert_eq!(printed.code, Some(2), "{options:?} {}", printed.stderr);
    }
    assert!(!Path::new(&table).exists());
}
