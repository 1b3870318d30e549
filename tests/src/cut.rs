//! Values that no record can hold whole: what an event shows of them must be their beginning, and say so.

use serde_json::{Map, Value, json};

/// Fields that hold items, and the field that says how many there are where some are missing.
const CONTAINERS: [(&str, &str); 7] = [
    ("list", "len"),
    ("tuple", "len"),
    ("set", "len"),
    ("frozenset", "len"),
    ("dict", "len"),
    ("args", "args_len"),
    ("kwargs", "kwargs_len"),
];

/// Fails unless the event shows the beginning of what the truth says, each container that is not
/// whole with the number of its items. Of keyword arguments, which come last, an event that says it is
/// cut may not even have the number.
pub fn assert_beginning(event: &Value, truth: &Value) {
    let (mut event, mut truth) = (event.clone(), truth.clone());
    let fields = event.as_object_mut().expect("an event");
    if fields.remove("cut").is_some() && fields["kwargs"] == json!({}) && !fields.contains_key("kwargs_len") {
        truth["kwargs"] = json!({});
    }
    if let Err(what) = beginning("", &event, &truth) {
        panic!("{what}");
    }
}

fn beginning(path: &str, event: &Value, truth: &Value) -> Result<(), String> {
    let differs = || Err(format!("{path} is {event:.200}, in truth {truth:.200}"));
    match (event, truth) {
        (Value::Object(event), _) if event.get("cut") == Some(&Value::Bool(true)) => Ok(()),
        (Value::Object(a), Value::String(whole)) => {
            let is_beginning = a["str"].as_str().is_some_and(|text| whole.starts_with(text));
            if is_beginning && a["len"] == whole.chars().count() {
                Ok(())
            } else {
                differs()
            }
        }
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()) {
                let inner = format!("{path}.{key}");
                match CONTAINERS.iter().find(|(items, _)| items == key) {
                    Some((_, total)) => items(&inner, total, (a, &a[key]), (b, &b[key]))?,
                    None if CONTAINERS.iter().any(|(_, total)| total == key) => {}
                    None => match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => beginning(&inner, a, b)?,
                        _ => return Err(format!("{inner} is not in both")),
                    },
                }
            }
            Ok(())
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                beginning(&format!("{path}[{i}]"), a, b)?;
            }
            Ok(())
        }
        _ if event == truth => Ok(()),
        _ => differs(),
    }
}

/// A container's items: a beginning of those in truth, and how many there are unless all are there.
fn items(
    path: &str,
    total: &str,
    (event, shown): (&Map<String, Value>, &Value),
    (truth, all): (&Map<String, Value>, &Value),
) -> Result<(), String> {
    let count = match (shown, all) {
        (Value::Array(a), Value::Array(b)) if a.len() <= b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                beginning(&format!("{path}[{i}]"), a, b)?;
            }
            a.len()
        }
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                let Some(other) = b.get(key) else {
                    return Err(format!("{path}.{key} is not in truth"));
                };
                beginning(&format!("{path}.{key}"), value, other)?;
            }
            a.len()
        }
        _ => return Err(format!("{path} is {shown:.200}, in truth {all:.200}")),
    };
    let in_truth = match all {
        Value::Array(all) => all.len(),
        Value::Object(all) => all.len(),
        _ => 0,
    };
    let in_all = truth
        .get(total)
        .and_then(Value::as_u64)
        .unwrap_or(in_truth as u64);
    let said = event.get(total).and_then(Value::as_u64);
    if said.unwrap_or(count as u64) != in_all {
        return Err(format!("{path} shows {count} of {in_all} and says {said:?}"));
    }
    Ok(())
}
