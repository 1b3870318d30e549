//! Questions: of a recording, of OTLP/JSON lines, of ClickHouse old and new, of DuckDB; the same answers from all.

use std::{fs, io::Write as _, path::Path, process::Stdio};

use serde_json::{Value, json};
use tests::{
    Chdb, ClickHouse, Folder, Printed, Program, Recording, engines, interpreters, parse, programs, tool,
};

/// Records of two hosts, with known answers (`query/store_tests.rs`).
const FLEET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tracer-user/src/query/testdata/fleet.otlp.jsonl"
);
const TRACE: &str = "trace_id=0af7651916cd43dd8448eb211c80319c";
/// Questions about that fleet.
const QUESTIONS: [&[&str]; 14] = [
    &["top"],
    &["slowest"],
    &["errors"],
    &["secrets"],
    &["peers"],
    &["losses"],
    &["new-effects", "--since", "2026-01-01T01:00:00Z"],
    &["who-touched", "-p", "path=*.pem"],
    &["who-touched", "-p", "path=/srv/x_?", "-p", "peer=[*"],
    &["who-touched", "-p", "path=/tmp/it's \\ 100%_\n\x1b[31m*"],
    &["trace", "-p", TRACE],
    &[
        "top",
        "-p",
        "service=b*",
        "-p",
        "host=b",
        "--since",
        "@1767225610",
    ],
    &["SELECT * FROM {effects} ORDER BY time_ns, uid"],
    &[
        "SELECT function FROM {effects} WHERE path = :x ORDER BY time_ns",
        "-p",
        "x=/tmp/it's \\ 100%_\n\x1b[31mé",
    ],
];

fn fleet() -> String {
    fs::read_to_string(FLEET).expect("the records")
}

fn ask(on: &str, question: &[&str]) -> Printed {
    tool(&[&["query", "--format", "json", "--on", on], question].concat())
}

/// The answer's rows; there must be one.
fn answer(on: &str, question: &[&str]) -> Vec<Value> {
    let printed = ask(on, question);
    assert_eq!(printed.code, Some(0), "{question:?}: {}", printed.stderr);
    printed.stdout.lines().map(parse).collect()
}

fn assert_same(on: &str) {
    for question in QUESTIONS {
        let expected = answer(FLEET, question);
        assert!(!expected.is_empty(), "{question:?}");
        assert_eq!(answer(on, question), expected, "{question:?}");
    }
    let printed = ask(on, &["top"]);
    assert!(
        printed.stderr.contains("7 events were lost"),
        "{}",
        printed.stderr
    );
    assert!(
        printed.stderr.contains("calls were sampled"),
        "{}",
        printed.stderr
    );
}

#[test]
fn clickhouse_of_2018_answers_the_same() {
    let Some(servers) = ClickHouse::start(1) else {
        return;
    };
    servers[0].insert(&fleet(), |_| true);
    assert_same(&servers[0].url("default"));
    let said = ask(&servers[0].url("default"), &["SELECT nothing FROM effects"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("ClickHouse: Code: "), "{}", said.stderr);
    let said = ask(&servers[0].url("default"), &["DROP TABLE effects"]);
    assert_eq!(said.code, Some(1), "nothing is changed: {}", said.stderr);
    assert_same(&servers[0].url("default"));
}

#[test]
fn a_shard_that_is_gone_is_told() {
    let Some(mut servers) = ClickHouse::start(2) else {
        return;
    };
    servers[0].insert(&fleet(), |host| host == "a");
    servers[1].insert(&fleet(), |host| host != "a");
    let url = servers[0].url("fleet");
    assert_same(&url);
    let whole = ask(&url, &["top", "--partial"]);
    assert!(!whole.stderr.contains("did not answer"), "{}", whole.stderr);
    assert_eq!(
        whole.stdout.lines().map(parse).collect::<Vec<_>>(),
        answer(FLEET, &["top"])
    );

    let gone = servers.pop().expect("two");
    drop(gone);
    let refused = ask(&url, &["top"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""));
    assert!(
        refused.stderr.contains("--partial asks the other shards"),
        "{}",
        refused.stderr
    );
    let part = ask(&url, &["top", "--partial"]);
    assert_eq!(part.code, Some(0), "{}", part.stderr);
    assert!(
        part.stderr
            .contains("1 of 2 shards of fleet did not answer: what they hold is missing"),
        "{}",
        part.stderr
    );
    let of_a: Vec<Value> = answer(FLEET, &["top", "-p", "host=a"]);
    assert_eq!(part.stdout.lines().map(parse).collect::<Vec<_>>(), of_a);
}

#[test]
fn modern_clickhouse_answers_the_same() {
    let Some(server) = Chdb::start() else { return };
    server.insert(&fleet());
    assert_same(&server.url());
}

/// What DuckDB answers in that folder, row by row.
fn duckdb(python: &Path, folder: &Folder, asked: &[Value]) -> Vec<Vec<Value>> {
    let schema = tool(&["query", "--schema", "duckdb"]).stdout;
    fs::write(folder.file("schema.sql"), schema).expect("a file");
    let mut child = tests::command(python)
        .arg(programs().join("duckdb_answers.py"))
        .arg("schema.sql")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    for question in asked {
        writeln!(stdin, "{question}").expect("it reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| parse(line).as_array().expect("rows").clone())
        .collect()
}

/// Takes out what a Parquet file does not have.
fn without(mut rows: Vec<Value>) -> Vec<Value> {
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.retain(|column, _| !["service", "example"].contains(&column.as_str()));
    }
    rows
}

#[test]
fn recordings_are_asked_and_duckdb_answers_the_same() {
    let Some(python) = interpreters().pop() else {
        return;
    };
    let folder = Folder::new("query");
    let file = folder.text("calls.pytrace");
    let mut program = Program::start(&python, "effects.py");
    let recording = Recording::of(&program, Path::new(&file), &[]);
    program.run();
    recording.stop();
    assert!(program.end());

    let top = answer(&file, &["top"]);
    let is_removal = |row: &&Value| {
        row["function"] == "posix.rmdir"
            && row["file"]
                .as_str()
                .is_some_and(|file| file.ends_with("effects.py"))
    };
    assert_eq!(top.iter().filter(is_removal).count(), 1, "{top:?}");
    let calls: i64 = top.iter().filter_map(|row| row["calls"].as_i64()).sum();
    assert_eq!(
        answer(&file, &["SELECT count(*) AS calls FROM effects"]),
        [json!({"calls": calls})]
    );

    // The same of the lines that `replay` makes.
    let lines = folder.text("calls.otlp.jsonl");
    let printed = tool(&["replay", &file, "--format", "otlp", "-o", &lines]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let questions: [&[&str]; 6] = [
        &["top"],
        &["slowest"],
        &["errors"],
        &["peers"],
        &["who-touched", "-p", "path=*"],
        &["new-effects", "--since", "@1"],
    ];
    for question in questions {
        assert_eq!(answer(&lines, question), answer(&file, question), "{question:?}");
    }

    let Some(engines) = engines() else { return };
    let printed = tool(&["replay", &file, "-o", &folder.text("calls.parquet")]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let asked = questions.map(|question| {
        let sql = tool(&[&["query", "--sql=duckdb"], question].concat()).stdout;
        let since = if question[0] == "new-effects" { 1_000_000_000 } else { 0 };
        json!({"sql": sql, "parameters": {"since": since, "service": "%", "host": "%", "path": "%", "peer": ""}})
    });
    let answers = duckdb(&engines, &folder, &asked);
    for (question, rows) in questions.iter().zip(answers) {
        let expected = answer(&file, &[question, &["--limit", "0"][..]].concat());
        assert_eq!(without(rows), without(expected), "{question:?}");
    }
}

#[test]
fn secrets_of_a_recording_are_named_by_line() {
    let Some(python) = interpreters().pop() else {
        return;
    };
    let folder = Folder::new("query-secrets");
    let file = folder.text("calls.pytrace");
    let mut program = Program::start(&python, "use_secrets.py");
    let recording = Recording::of(&program, Path::new(&file), &[]);
    program.run();
    recording.stop();
    assert!(program.end());
    let secrets = answer(&file, &["secrets", "--limit", "0"]);
    let of = |what: &str| {
        secrets
            .iter()
            .any(|row| row["what"] == what && row["kind"] == "masked value")
    };
    assert!(
        of("posix.putenv") && of("_ssl._SSLContext.load_cert_chain"),
        "{secrets:?}"
    );
    let table = tool(&["query", "SELECT body, message FROM effects", "--on", &file]);
    assert!(!table.stdout.contains("hunter2"), "{}", table.stdout);
}
