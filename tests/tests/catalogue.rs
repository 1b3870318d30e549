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
