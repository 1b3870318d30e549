//! Assertions of what a call changed: its arguments, their attributes and globals.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::line;
use super::recording::{Recording, group, id_of, is, text};
use super::value::{NotRebuilt, expression, string};

/// Asserts what the call changed in its arguments and in globals.
pub(super) fn changes(recording: &Recording<'_>, call: &Json, id: u64, body: &mut String) {
    let Some(Json::Object(args)) = call.get("args") else {
        return;
    };
    let events: Vec<&Json> = recording.inside(id).collect();
    for (name, value) in args {
        container_changes(recording, &events, value, &string(name), body);
        if let (Some(_), Some(id)) = (text(value, "object"), id_of(value)) {
            attributes(&events, id, &format!("given[{}]", string(name)), body);
        }
    }
    let file = text(call, "file");
    let mut globals: Vec<(&str, &Json)> = Vec::new();
    for event in &events {
        let frame = event.get("stack").and_then(|stack| stack.get(0));
        if is(event, "op", "STORE_GLOBAL")
            && frame.and_then(|frame| text(frame, "file")) == file
            && let (Some(name), Some(value)) = (text(event, "name"), event.get("value"))
        {
            globals.retain(|(known, _)| *known != name);
            globals.push((name, value));
        }
    }
    for (name, value) in globals {
        if let Ok(value) = expression(value) {
            let _ = writeln!(body, "    assert getattr(module, {}) == {value}", string(name));
        }
    }
}

/// Asserts what became of the containers in an argument. `name`: in quotes.
fn container_changes(
    recording: &Recording<'_>,
    events: &[&Json],
    argument: &Json,
    name: &str,
    body: &mut String,
) {
    let Ok(before) = expression(argument) else { return };
    let containers = containers(argument, "expected");
    let mut parts = String::new();
    let mut lines = String::new();
    let mut whole = true;
    let mut changed: Vec<&str> = Vec::new();
    for event in events {
        for (path, container) in &containers {
            let Some(id) = id_of(container) else { continue };
            let Some(change) = change_of(recording, event, id) else {
                continue;
            };
            // It stays the same object, wherever the changes move it.
            let place = changed.iter().position(|known| *known == id).unwrap_or_else(|| {
                changed.push(id);
                let _ = writeln!(parts, "    part_{} = {path}", changed.len());
                changed.len() - 1
            });
            match change {
                Ok(change) => {
                    _ = writeln!(
                        lines,
                        "    {}",
                        change.replacen(IT, &format!("part_{}", place + 1), 1)
                    )
                }
                Err(NotRebuilt(why)) => {
                    whole = false;
                    let _ = writeln!(lines, "    # It also got {}.", line(&why));
                }
            }
        }
    }
    if changed.is_empty() {
        return;
    }
    let _ = write!(body, "    expected = {before}\n{parts}{lines}");
    if whole {
        let _ = writeln!(body, "    assert given[{name}] == expected");
    }
}

/// Stands for a container in what is done with it. No value is written so.
const IT: &str = "\0";

/// Asserts the attributes that an object got last.
fn attributes(events: &[&Json], object: &str, path: &str, body: &mut String) {
    let mut last: Vec<(&str, Option<&Json>)> = Vec::new();
    for event in events {
        let stores = is(event, "op", "STORE_ATTR");
        if (stores || is(event, "op", "DELETE_ATTR"))
            && event.get("object").and_then(id_of) == Some(object)
            && let Some(name) = text(event, "name")
        {
            last.retain(|(known, _)| *known != name);
            last.push((name, event.get("value").filter(|_| stores)));
        }
    }
    for (name, value) in last {
        let name = string(name);
        match value.map(expression) {
            None => _ = writeln!(body, "    assert not hasattr({path}, {name})"),
            Some(Ok(value)) => _ = writeln!(body, "    assert getattr({path}, {name}) == {value}"),
            Some(Err(NotRebuilt(why))) => {
                let _ = writeln!(body, "    # {path} also got {name}: {}.", line(&why));
            }
        }
    }
}

/// The containers in a value that can be changed, and how to come to them.
fn containers<'v>(value: &'v Json, path: &str) -> Vec<(String, &'v Json)> {
    let mut found = Vec::new();
    if ["list", "dict", "set", "bytearray"]
        .iter()
        .any(|key| value.get(key).is_some())
    {
        found.push((path.to_owned(), value));
    }
    for key in ["list", "tuple"] {
        if let Some(Json::Array(items)) = value.get(key) {
            for (i, item) in items.iter().enumerate() {
                found.extend(containers(item, &format!("{path}[{i}]")));
            }
        }
    }
    if let Some(Json::Array(pairs)) = value.get("dict") {
        for pair in pairs {
            if let (Some(key), Some(item)) = (pair.get(0), pair.get(1))
                && let Ok(key) = expression(key)
            {
                found.extend(containers(item, &format!("{path}[{key}]")));
            }
        }
    }
    found
}

/// What an event does to a container, as a statement about [`IT`]; `None`: nothing.
fn change_of(recording: &Recording<'_>, event: &Json, id: &str) -> Option<Result<String, NotRebuilt>> {
    if group(event) != "memory" || is(event, "outcome", "raise") {
        return None;
    }
    if is(event, "type", "bytecode") {
        if event.get("object").and_then(id_of) != Some(id) {
            return None;
        }
        let key = event.get("key").map(expression)?;
        return Some(match event.get("value").map(expression) {
            None => key.map(|key| format!("del {IT}[{key}]")),
            Some(value) => key.and_then(|key| Ok(format!("{IT}[{key}] = {}", value?))),
        });
    }
    if event.get("self").and_then(id_of) != Some(id) {
        return None;
    }
    // What a bytecode did is not done twice.
    let in_bytecode = recording
        .around(event)
        .next()
        .and_then(|id| recording.events.get(&id));
    if in_bytecode.is_some_and(|around| is(around, "type", "bytecode")) {
        return None;
    }
    let method = text(event, "function")?.rsplit('.').next()?;
    // The recorded program chose it, and the test is run.
    if !method
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Some(Err(NotRebuilt(format!("a call of {method}"))));
    }
    let mut written = Vec::new();
    for arg in event
        .get("args")
        .and_then(Json::as_array)
        .map_or(&[][..], Vec::as_slice)
    {
        match expression(arg) {
            Ok(arg) => written.push(arg),
            Err(why) => return Some(Err(why)),
        }
    }
    if let Some(Json::Object(kwargs)) = event.get("kwargs") {
        for (key, value) in kwargs {
            match expression(value) {
                Ok(value) => written.push(format!("**{{{}: {value}}}", string(key))),
                Err(why) => return Some(Err(why)),
            }
        }
    }
    Some(Ok(format!("{IT}.{method}({})", written.join(", "))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_method_is_written_only_by_its_name() {
        let event = |function: &str| {
            json!({"id": 2, "parent": 1, "type": "call", "effect": "memory.change", "function": function,
                   "self": {"list": [], "id": "0x10"}, "args": [1], "outcome": "return"})
        };
        let recording = Recording::new(&[]);
        let change = |function: &str| change_of(&recording, &event(function), "0x10");
        assert_eq!(change("list.append"), Some(Ok(format!("{IT}.append(1)"))));
        assert_eq!(
            change("list.__import__('os')"),
            Some(Err(NotRebuilt("a call of __import__('os')".into())))
        );
    }
}
