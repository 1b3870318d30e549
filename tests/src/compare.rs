//! Events against the truth.

use serde_json::Value;

/// Reads a line of JSON. A lone surrogate is fine in JSON and in Python, but not in Rust's strings.
pub fn parse(line: &str) -> Value {
    serde_json::from_str(&line.replace("\\ud800", "\\ufffd")).expect("a line of JSON")
}

/// The call events, in the order in which the calls were entered.
pub fn calls(events: &[Value]) -> Vec<Value> {
    let mut calls: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "call")
        .cloned()
        .collect();
    calls.sort_by_key(|event| event["id"].as_u64());
    calls
}

/// The event without some of its fields.
pub fn without(mut event: Value, fields: &[&str]) -> Value {
    if let Some(object) = event.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
    }
    event
}

/// Compares events with what the program wrote down, all fields that the program can know.
pub fn assert_same(events: &[Value], truth: &[Value]) {
    const UNKNOWN: [&str; 9] = [
        "type",
        "id",
        "parent",
        "pid",
        "tid",
        "time_ns",
        "duration_ns",
        "effect",
        "target",
    ];
    for (i, (event, expected)) in events.iter().zip(truth).enumerate() {
        let mut event = without(event.clone(), &UNKNOWN);
        if let Some(exception) = event.get_mut("exception").and_then(Value::as_object_mut) {
            // Before 3.12 a C function may leave an exception that is no object yet.
            exception.remove("id");
        }
        assert!(
            same(&event, expected),
            "call {i}:\n event {event}\n truth {expected}"
        );
    }
    assert_eq!(events.len(), truth.len(), "number of calls");
}

fn same(event: &Value, truth: &Value) -> bool {
    match (event, truth) {
        (Value::Object(event), Value::Object(truth)) => {
            if let Some(Value::String(digits)) = truth.get("int*") {
                // Too large to be captured whole: the leading digits, and how many there are.
                let leading = event.get("int").and_then(Value::as_str).unwrap_or_default();
                return digits.starts_with(leading)
                    && leading.len() > 20
                    && event.get("len") == truth.get("len");
            }
            event.len() == truth.len()
                && event
                    .iter()
                    .all(|(key, value)| truth.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(event), Value::Array(truth)) => {
            event.len() == truth.len() && event.iter().zip(truth).all(|(a, b)| same(a, b))
        }
        _ => event == truth,
    }
}
