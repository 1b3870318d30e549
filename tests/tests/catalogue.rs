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

/// The events of `secrets.py`, as text.
fn secrets(python: &std::path::Path, options: &[&str]) -> String {
    let mut program = Program::start(python, "secrets.py");
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
