//! More calls than the ring buffer takes: each is accounted for.

use std::path::Path;

use serde_json::Value;
use tests::{Program, Tracer, calls, interpreters, version};

/// Times that the program works, by interpreter and tracer.
const RUNS: u64 = 5;
/// What `flood.py` calls each time it works.
const CALLS: [(&str, u64); 3] = [("is_", 10_800), ("is_not", 5_400), ("truth", 3_600)];
/// A ring buffer that a few hundred records fill, and records of two kilobytes.
const TRACED: [&str; 12] = [
    "-e",
    "none",
    "-f",
    "*operator.is_",
    "-f",
    "*operator.is_not",
    "-f",
    "*operator.truth",
    "--ring",
    "256K",
    "--max-str",
    "2000",
];

/// Counters of the site of `_operator.NAME`.
fn site<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let sites = summary["sites"].as_array().expect("counters by site");
    let of_name = |site: &&Value| {
        let function = site["function"].as_str().expect("a name");
        function.rsplit('.').next() == Some(name)
    };
    sites.iter().find(of_name).expect("the site")
}

/// How many were lost.
fn assert_every_call_is_accounted_for(python: &Path, more: &[&str]) -> u64 {
    let mut program = Program::start(python, "flood.py");
    let tracer = Tracer::attach(&program, &[&TRACED, more].concat());
    for _ in 0..RUNS {
        program.run();
    }
    let trace = tracer.stop();
    let shown = calls(&trace.events);
    for (name, each) in CALLS {
        let site = site(&trace.summary, name);
        let n = |field: &str| site[field].as_u64().expect("a counter");
        assert_eq!(n("hits"), RUNS * each, "{name}: {site}");
        assert_eq!(
            n("hits"),
            n("delivered") + n("dropped") + n("filtered") + n("skipped"),
            "{name}: {site}"
        );
        let ends = n("return_delivered") + n("return_dropped") + n("return_filtered");
        assert_eq!(n("return_hits"), ends + n("return_skipped"), "{name}: {site}");
        let shown = shown.iter().filter(|call| call["function"] == site["function"]);
        assert_eq!(shown.count() as u64, n("delivered"), "{name}: {site}");
    }
    let counted = |field: &str| trace.summary[field].as_u64().expect("a count");
    let lost = counted("lost");
    let told = trace.events.iter().filter(|event| event["type"] == "loss");
    let told: u64 = told.filter_map(|event| event["count"].as_u64()).sum();
    // What is told while it goes on, of entries and ends, is no more than there is at the end.
    assert!(
        told <= lost + counted("lost_returns"),
        "{told}: {}",
        trace.summary
    );
    assert!(program.end(), "the program went on as if nothing was");
    lost
}

#[test]
fn hits_are_what_was_delivered_dropped_and_filtered() {
    let (pythons, mut lost) = (interpreters(), 0);
    for python in &pythons {
        let all = assert_every_call_is_accounted_for(python, &[]);
        let some = assert_every_call_is_accounted_for(python, &["--in", "work"]);
        // More than there are: each call is chosen, and may find no room then.
        let chosen = assert_every_call_is_accounted_for(python, &["--sample", "1000000"]);
        println!("{}: {all}, {some} and {chosen} calls lost", version(python));
        lost += all + some + chosen;
    }
    assert!(
        lost > 0 || pythons.is_empty(),
        "there was room for everything: it tried nothing"
    );
}
