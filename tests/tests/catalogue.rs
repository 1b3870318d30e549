//! What the catalogue promises, seen on real interpreters.

use std::collections::BTreeSet;

use tests::{Program, Tracer, calls, interpreters};

#[test]
fn acts_that_raise_audit_events_are_seen_too() {
    for python in interpreters() {
        let mut program = Program::start(&python, "audit.py");
        let tracer = Tracer::attach(&program, &["-e", "world,code,import,gc,memory.new", "--nested"]);
        let did = program.run();
        let trace = tracer.stop();
        let seen: BTreeSet<String> = calls(&trace.events)
            .iter()
            .filter_map(|call| Some(call["function"].as_str()?.to_owned()))
            .collect();
        for act in &did {
            let function = act["function"].as_str().expect("a name");
            // `io.open` before 3.11.
            let older = function.trim_start_matches('_');
            assert!(
                seen.contains(function) || seen.contains(older),
                "{}: {act} was not seen: {seen:?}",
                trace.python()
            );
        }
        println!("{}: {} acts of audit events seen", trace.python(), did.len());
        assert_eq!(trace.summary["lost"], 0);
        assert!(program.end());
    }
}

/// The events of `use_secrets.py`, as text.
fn secrets(python: &std::path::Path, options: &[&str]) -> String {
    let mut program = Program::start(python, "use_secrets.py");
    let wide = ["-f", "_hashlib.pbkdf2_hmac", "--nested", "--max-items", "64"];
    let tracer = Tracer::attach(&program, &[&wide, options].concat());
    program.run();
    let trace = tracer.stop();
    assert!(program.end());
    let lines: Vec<String> = trace.events.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn secrets_are_masked_unless_somebody_asks_for_them() {
    // `hunter2` in base64 begins with one of these, or holds the middle, by its place among the bytes.
    const SPELLINGS: [&str; 4] = ["hunter2", "aHVudGVyM", "h1bnRlcj", "odW50ZXIy"];
    for python in interpreters() {
        let masked = secrets(&python, &[]);
        for spelling in SPELLINGS {
            let leak = masked.lines().find(|line| line.contains(spelling));
            assert_eq!(leak, None, "{}", python.display());
        }
        let stars = masked.matches("\"masked\":true").count();
        assert!(stars >= 6, "{}: {stars} masked: {masked}", python.display());
        assert!(masked.contains("postgres://user:***@host/db"));
        let shown = secrets(&python, &["--show-secrets"]);
        assert!(shown.contains("postgres://user:hunter2@host/db") && !shown.contains("\"masked\""));
    }
}

/// What each driver is seen to do.
const DRIVERS: &[(&str, &[(&str, &str)])] = &[
    (
        "lxml.etree",
        &[
            ("lxml.etree.fromstring", "memory.parse"),
            ("lxml.etree._ElementTree.write", "file.write"),
            ("lxml.etree.parse", "file.read"),
        ],
    ),
    (
        "numpy",
        &[
            ("numpy.ndarray.tofile", "file.write"),
            ("numpy.fromfile", "file.read"),
        ],
    ),
    (
        "orjson",
        &[
            ("orjson.dumps", "memory.serialize"),
            ("orjson.loads", "memory.parse"),
        ],
    ),
    ("psycopg2", &[("psycopg2._psycopg._connect", "db.connect")]),
    ("psycopg", &[("psycopg_binary._psycopg.connect", "db.connect")]),
    (
        "hiredis",
        &[
            ("hiredis.hiredis.pack_command", "db.execute"),
            ("hiredis.Reader.gets", "db.fetch"),
        ],
    ),
    (
        "bson._cbson",
        &[
            ("bson._cbson._dict_to_bson", "memory.serialize"),
            ("bson._cbson._bson_to_dict", "memory.parse"),
        ],
    ),
    (
        "uvloop",
        &[
            ("uvloop.loop.UVStream.write", "net.send"),
            ("uvloop.loop.Loop.create_connection", "net.connect"),
            ("uvloop.loop.Loop.create_server", "net.listen"),
        ],
    ),
];

#[test]
fn drivers_are_recognised_where_they_are_installed() {
    let mut used = BTreeSet::new();
    // `cargo xtask test` makes an interpreter that has them.
    let extra = std::env::var_os("PYTRACE_DRIVERS").map(std::path::PathBuf::from);
    for python in interpreters().into_iter().chain(extra) {
        let mut program = Program::start(&python, "drivers.py");
        let tracer = Tracer::attach(
            &program,
            &["-e", "world,memory.parse,memory.serialize", "--nested"],
        );
        let have = program.run();
        let trace = tracer.stop();
        assert!(program.end());
        let calls = calls(&trace.events);
        for (driver, functions) in DRIVERS
            .iter()
            .filter(|(name, _)| have.iter().any(|have| have == name))
        {
            used.insert(*driver);
            for (function, effect) in *functions {
                let seen = calls
                    .iter()
                    .any(|call| call["function"] == *function && call["effect"] == *effect);
                assert!(seen, "{}: {function} was not seen", trace.python());
            }
        }
        let leak = calls.iter().find(|call| call.to_string().contains("hunter2"));
        assert_eq!(leak, None);
    }
    println!("drivers used: {used:?}");
    if used.is_empty() {
        println!("SKIPPED: no interpreter here has any driver");
    }
}
