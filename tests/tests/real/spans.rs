//! OpenTelemetry: each effect has the ids of the span that the program says is current.

use std::collections::HashMap;

use serde_json::Value;
use tests::{Program, Tracer, calls, packaged};

#[test]
fn each_effect_joins_its_trace() {
    for python in packaged() {
        let mut program = Program::real(&python, "spans.py", &[]);
        let tracer = Tracer::attach(&program, &["-e", "file.unlink"]);
        let truth = program.run();
        let trace = tracer.stop();
        let python = python.display();
        let truth: HashMap<&str, &Value> = truth
            .iter()
            .filter_map(|act| Some((act["path"].as_str()?, &act["trace"])))
            .collect();
        assert!(truth.len() > 300, "{python}: {}", truth.len());
        let mut seen = 0;
        for call in calls(&trace.events) {
            let path = call["args"][0].as_str().expect("a path");
            let Some(span) = truth.get(path) else { continue };
            seen += 1;
            assert_eq!(&&call["trace"], span, "{python}: {call}");
            assert_eq!(call["unattributed"], Value::Null, "{python}: {call}");
        }
        assert_eq!(seen, truth.len(), "{python}");
        println!("{python}: {seen} effects");
        assert!(program.end(), "the program went on as if nothing was");
    }
}
