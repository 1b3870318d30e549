//! What a call is on, by name: files, peers, statements, commands.

use crate::{
    decode::value::Value,
    event::{
        call::{CallEvent, TypeNames},
        target::TargetValue,
    },
    sink::{plain_text::plain_text, repr},
};

/// Keys of a target, and what the page calls what they name; those that tell most come first.
const KINDS: &[(&str, &str)] = &[
    ("path", "file"),
    ("to_path", "file"),
    ("peer", "peer"),
    ("address", "peer"),
    ("host", "peer"),
    ("sql", "statement"),
    ("statement", "statement"),
    ("dsn", "database"),
    ("method", "method"),
    ("argv", "command"),
    ("command", "command"),
    ("module", "module"),
    ("name", "name"),
];

/// Keys that are a number, which names nothing for longer than a moment.
const DESCRIPTORS: [&str; 2] = ["fd", "to_fd"];

/// What a call is on.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Kind and name; a file that is moved has two.
    pub named: Vec<(&'static str, String)>,
    /// It is on a descriptor of which no more is known.
    pub unnamed: bool,
}

impl Touched {
    /// How many names of a call are kept.
    pub const MOST: usize = 2;

    /// By a call.
    pub fn by(call: &CallEvent<'_>, names: &mut TypeNames<'_>) -> Self {
        let parts: Vec<_> = call.target_parts().collect();
        let part = |key: &str| {
            parts
                .iter()
                .find(|(other, _)| *other == key)
                .map(|(_, part)| part)
        };
        let mut touched = Self::default();
        for (key, kind) in KINDS {
            let Some(name) = part(key).and_then(|part| name_of(part, names)) else {
                continue;
            };
            let name = match (*key, part("port")) {
                ("host", Some(TargetValue::Value(port))) => format!("{name}:{}", text_of(port, names)),
                _ => name,
            };
            if touched.named.len() < Self::MOST {
                touched.named.push((kind, name));
            }
        }
        let on_descriptor = DESCRIPTORS.into_iter().any(|key| part(key).is_some()) || call.handle.is_some();
        touched.unnamed = touched.named.is_empty() && on_descriptor;
        touched
    }
}

/// `None`: it is a descriptor, or nothing.
fn name_of(part: &TargetValue<'_, '_>, names: &mut TypeNames<'_>) -> Option<String> {
    match part {
        TargetValue::Text(text) => Some(text.to_string()),
        TargetValue::Value(Value::None | Value::Int(_) | Value::Long(_)) | TargetValue::Number(_) => None,
        TargetValue::Value(value) => Some(text_of(value, names)),
    }
}

/// The text that a value is; of others as Python writes them.
fn text_of(value: &Value<'_>, names: &mut TypeNames<'_>) -> String {
    plain_text(value).unwrap_or_else(|| {
        let mut out = Vec::new();
        repr::value(value, names, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    })
}
