//! Every audit event of CPython's documentation is covered by functions of the catalogue, or says why not;
//! and the interpreters that are there raise those that they are said to raise.

mod pythons;

use std::collections::BTreeSet;
use std::process::Command;

use tracer_user::catalogue::effects::{
    audit::{AUDIT, Covered, WINDOWS},
    find,
};

/// Name, in 3.11, in 3.14.
const EVENTS: &str = include_str!("audit_events.tsv");

/// Does acts, and prints which audit events each of them raised: the events that somebody else's acts raise,
/// imports for example, do not matter.
const ACTS: &str = include_str!("audit_acts.py");

/// The names of the documented events.
fn documented() -> BTreeSet<&'static str> {
    let lines = EVENTS.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('\t').next()).collect()
}

#[test]
fn every_audit_event_is_covered_or_says_why_not() {
    let rows: BTreeSet<&str> = AUDIT.iter().map(|(event, _)| *event).collect();
    assert_eq!(rows.len(), AUDIT.len(), "an event is there twice");
    let events = documented();
    assert!(events.len() > 150, "{}", events.len());
    let missing: Vec<_> = events.difference(&rows).collect();
    assert!(missing.is_empty(), "not dealt with: {missing:?}");
    let invented: Vec<_> = rows.difference(&events).collect();
    assert!(invented.is_empty(), "not documented: {invented:?}");
}

#[test]
fn functions_that_cover_an_audit_event_are_in_the_catalogue() {
    for (event, covered) in AUDIT {
        match covered {
            Covered::By(functions) => {
                assert!(!functions.is_empty(), "{event}");
                for function in *functions {
                    assert!(find(function).is_some(), "{function} of {event} has no effect");
                }
            }
            Covered::Not(why) => assert!(!why.is_empty(), "{event}"),
        }
    }
    let count = |which: fn(&Covered) -> bool| AUDIT.iter().filter(|(_, covered)| which(covered)).count();
    println!(
        "{} audit events covered, {} not, {} of Windows",
        count(|covered| matches!(covered, Covered::By(_))),
        count(|covered| matches!(covered, Covered::Not(why) if *why != WINDOWS)),
        count(|covered| matches!(covered, Covered::Not(why) if *why == WINDOWS)),
    );
}

#[test]
fn interpreters_raise_the_events_where_the_catalogue_says() {
    let mut asked = 0;
    for python in pythons::all() {
        let output = Command::new(&python)
            .args(["-E", "-s", "-W", "ignore", "-c", ACTS])
            .output()
            .expect("the interpreter starts");
        let text = String::from_utf8(output.stdout).expect("names are text");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", python.display());
        if text.trim() == "no audit events" {
            continue;
        }
        asked += 1;
        let mut acts = 0;
        for line in text.lines() {
            let (event, function) = line.split_once('\t').expect("an event and a function");
            let covered = AUDIT.iter().find(|(known, _)| *known == event);
            let Some((_, Covered::By(functions))) = covered else {
                panic!("{event} is not covered");
            };
            assert!(functions.contains(&function), "{function} raised {event}");
            acts += 1;
        }
        println!("{}: {acts} acts raised their events", python.display());
        assert!(acts >= 25, "{}: {acts}", python.display());
    }
    if asked == 0 {
        eprintln!("skipped: no interpreter with audit events");
    }
}
