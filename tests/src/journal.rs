//! What real programs note of their acts (`tests/programs/real/journal.py`), against events.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{calls, without};

/// The calls that were made from a file of that name, in the order of entry.
pub fn from_file(events: &[Value], name: &str) -> Vec<Value> {
    let made_there = |call: &Value| {
        let file = call["stack"][0]["file"].as_str().unwrap_or_default();
        file.rsplit('/').next() == Some(name)
    };
    calls(events).into_iter().filter(made_there).collect()
}

/// Fails unless, on every thread, there was one event for each act, in that order, and no other; whatever an act
/// says of itself, its event says too.
pub fn assert_acts(events: &[Value], acts: &[Value]) {
    let (mut seen, mut done) = (by_thread(events), by_thread(acts));
    assert!(
        seen.keys().eq(done.keys()),
        "threads {:?}, in truth {:?}",
        seen.keys(),
        done.keys()
    );
    for (tid, acts) in &mut done {
        let events = seen.remove(tid).unwrap_or_default();
        let functions = |calls: &[Value]| {
            calls
                .iter()
                .map(|call| call["function"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(functions(&events), functions(acts), "thread {tid}");
        for (event, act) in events.iter().zip(&*acts) {
            for (field, value) in act.as_object().expect("an act") {
                let event = without(event, &[]);
                assert_eq!(&event[field], value, "{field} of {event}, in truth {act}");
            }
        }
    }
}

fn by_thread(calls: &[Value]) -> BTreeMap<u64, Vec<Value>> {
    let mut threads: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for call in calls {
        let tid = call["tid"].as_u64().expect("a thread id");
        threads.entry(tid).or_default().push(call.clone());
    }
    threads
}

/// The bytes of a VALUE: of `bytes`, of a buffer, or of a text that Python 2 shows as one. All of them: none are cut.
pub fn data(value: &Value) -> Vec<u8> {
    if let Some(text) = value.as_str() {
        return text.as_bytes().to_vec();
    }
    assert!(value.get("len").is_none(), "it is cut: {value}");
    ["bytes", "bytearray", "memoryview"]
        .into_iter()
        .find_map(|kind| STANDARD.decode(value[kind].as_str()?).ok())
        .unwrap_or_else(|| panic!("no bytes: {value}"))
}
