//! Events against the truth.

use std::{collections::HashMap, fmt};

use serde_json::Value;

/// Fields of an event that the program cannot know, or that are compared in a way of their own.
const NOT_COMPARED: [&str; 9] = [
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
/// Fields of the truth that events do not have.
const ONLY_IN_TRUTH: [&str; 2] = ["n", "parent"];
/// Mismatching calls that are printed.
const SHOWN: usize = 3;

/// What was compared.
#[derive(Debug, Default)]
pub struct Tally {
    pub calls: usize,
    /// Values, those inside of others included.
    pub values: usize,
    pub mismatches: usize,
    pub lines: usize,
    pub line_mismatches: usize,
    shown: Vec<String>,
}

impl Tally {
    /// Fails, with the first calls that differ, unless all agree.
    pub fn assert_agrees(&self) {
        assert!(
            self.mismatches == 0 && self.line_mismatches == 0,
            "{self}\n{}",
            self.shown.join("\n")
        );
    }

    fn differs(&mut self, what: String) {
        self.mismatches += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(what);
        }
    }

    fn compare_call(&mut self, i: usize, event: &Value, truth: &Value) {
        self.calls += 1;
        self.values += values_of(truth);
        self.lines += 1;
        if event["stack"][0]["line"] != truth["stack"][0]["line"] {
            self.line_mismatches += 1;
        }
        let (known, truth) = known(event, truth);
        if !same(&known, &truth) {
            let difference = difference("", &known, &truth).unwrap_or_default();
            self.differs(format!("call {i}: {difference}\n event {known}\n truth {truth}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "calls={} values={} mismatches={} lines={} line_mismatches={}",
            self.calls, self.values, self.mismatches, self.lines, self.line_mismatches
        )
    }
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

/// An event and the truth about it with those fields only that both have.
pub fn known(event: &Value, truth: &Value) -> (Value, Value) {
    (without(event, &NOT_COMPARED), without(truth, &ONLY_IN_TRUTH))
}

/// The event without some of its fields.
pub fn without(event: &Value, fields: &[&str]) -> Value {
    let mut event = event.clone();
    if let Some(object) = event.as_object_mut() {
        for field in fields {
            object.remove(*field);
        }
        if let Some(exception) = object.get_mut("exception").and_then(Value::as_object_mut) {
            // Before 3.12 a C function may leave an exception that is no object yet.
            exception.remove("id");
        }
    }
    event
}

/// Compares events with what the program wrote down of its calls, in the order of entry: all fields
/// that the program can know, and which call runs inside which.
pub fn compare(events: &[Value], truth: &[Value]) -> Tally {
    let mut tally = Tally::default();
    // The tool's number of a call by the program's.
    let mut ids = HashMap::from([(None, Value::Null)]);
    for (i, (event, truth)) in events.iter().zip(truth).enumerate() {
        tally.compare_call(i, event, truth);
        ids.insert(truth["n"].as_u64(), event["id"].clone());
        let parent = ids.get(&truth["parent"].as_u64());
        if parent != Some(&event["parent"]) {
            tally.differs(format!("call {i} has the parent {parent:?} in truth: {event}"));
        }
    }
    if events.len() != truth.len() {
        tally.differs(format!("{} events of {} calls", events.len(), truth.len()));
    }
    tally
}

/// As [`compare`], and fails unless all agree.
pub fn assert_same(events: &[Value], truth: &[Value]) {
    compare(events, truth).assert_agrees();
}

/// How many Python objects a call shows.
fn values_of(call: &Value) -> usize {
    let one = |field: &str| call.get(field).map_or(0, values_in);
    let args = call["args"].as_array().into_iter().flatten();
    let kwargs = call["kwargs"].as_object().into_iter().flatten();
    let arguments = args.chain(kwargs.map(|(_, value)| value)).map(values_in);
    one("self") + one("result") + one("exception") + arguments.sum::<usize>()
}

/// How many Python objects a VALUE shows.
fn values_in(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(values_in).sum(),
        Value::Object(fields) => {
            1 + fields
                .values()
                .filter(|field| !field.is_string() && !field.is_number())
                .map(values_in)
                .sum::<usize>()
        }
        _ => 1,
    }
}

fn same(event: &Value, truth: &Value) -> bool {
    match (event, truth) {
        (Value::Object(event), Value::Object(truth)) => {
            if let Some(Value::String(digits)) = truth.get("int*") {
                return same_large_int(event, truth, digits);
            }
            event.len() == truth.len()
                && event
                    .iter()
                    .all(|(key, value)| truth.get(key).is_some_and(|other| same(value, other)))
        }
        (Value::Array(event), Value::Array(truth)) => {
            event.len() == truth.len() && event.iter().zip(truth).all(|(a, b)| same(a, b))
        }
        // `-0.0 == 0.0`, but they are two values.
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64().map(f64::to_bits) == b.as_f64().map(f64::to_bits)
        }
        _ => event == truth,
    }
}

/// Where two values first differ, and how.
fn difference(path: &str, event: &Value, truth: &Value) -> Option<String> {
    if same(event, truth) {
        return None;
    }
    match (event, truth) {
        (Value::Object(a), Value::Object(b)) if b.get("int*").is_none() => a
            .keys()
            .chain(b.keys())
            .find_map(|key| difference(&format!("{path}.{key}"), &event[key], &truth[key])),
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(&format!("{path}[{i}]"), a, b)),
        _ => Some(format!("{path} is {event}, in truth {truth}")),
    }
}

type Fields = serde_json::Map<String, Value>;

/// An int too large to be captured whole: the leading digits and how many there are, or how many bits.
fn same_large_int(event: &Fields, truth: &Fields, digits: &str) -> bool {
    let Some(leading) = event.get("int").and_then(Value::as_str) else {
        return false;
    };
    if leading.trim_start_matches('-').is_empty() {
        return digits.starts_with('-') == (leading == "-") && event.get("bits") == truth.get("bits");
    }
    digits.starts_with(leading) && leading.len() > 20 && event.get("len") == truth.get("len")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_told_from_what_agrees() {
        assert!(same(&json!({"a": [1, 2.0, null]}), &json!({"a": [1, 2.0, null]})));
        assert!(!same(&json!(1), &json!(1.0)));
        assert!(!same(&json!(0.0), &json!(-0.0)));
        assert!(!same(&json!([1]), &json!([1, 2])));
        let digits = "123456789012345678901234567890";
        let truth = json!({"int*": digits, "len": 30, "bits": 97});
        assert!(same(&json!({"int": &digits[..25], "len": 30}), &truth));
        assert!(same(&json!({"int": "", "bits": 97}), &truth));
        assert!(!same(&json!({"int": "-", "bits": 97}), &truth));
        assert!(!same(&json!({"int": "124", "len": 30}), &truth));
    }

    #[test]
    fn values_are_counted_inside_of_values() {
        let args = json!([1, {"list": [null, {"tuple": []}], "id": "0x1"}]);
        let call = json!({"args": args, "kwargs": {"a": 1}, "outcome": "return", "result": null});
        assert_eq!(values_of(&call), 6);
    }
}
