//! Masks secrets in a call before anything of it is written.

use super::call::{CallEvent, ExceptionArgs, Outcome};
use super::secret_text::masked;
use crate::{
    bytecode::Operands,
    catalogue::effects::{From, secrets},
    decode::value::{Arguments, BytesKind, MaskedText, Value},
};

/// The one effect that names a variable in its first argument and gives its value in the second.
const ENV_SET: &str = "env.set";

/// Masks the secrets of one call: arguments that the catalogue marks, those given by a secret's name, and
/// secrets inside texts, at every depth.
pub fn call(function: &str, effect: &str, arguments: &mut Arguments<'_>, outcome: &mut Outcome<'_>) {
    if effect == ENV_SET
        && let [name, value, ..] = &mut arguments.args[..]
        && bytes_of(name).is_some_and(|name| secrets::is_variable(&name))
    {
        hide(value);
    }
    for (name, value) in &mut arguments.kwargs {
        if bytes_of(name).is_some_and(|name| secrets::is_name(&name)) {
            hide(value);
        }
    }
    for secret in secrets::arguments(function) {
        marked(*secret, arguments, outcome);
    }
    arguments.self_.iter_mut().for_each(inside);
    arguments.args.iter_mut().for_each(inside);
    arguments.kwargs.iter_mut().for_each(|(_, value)| inside(value));
    arguments
        .attribution
        .task
        .iter_mut()
        .for_each(|task| inside(&mut task.name));
    arguments.filled.iter_mut().for_each(|(_, value)| inside(value));
    match outcome {
        Outcome::Returned(value) | Outcome::Yielded(value) => inside(value),
        Outcome::Raised(raised) => {
            if let ExceptionArgs::Items(items, _) = &mut raised.args {
                items.iter_mut().for_each(inside);
            }
        }
        Outcome::Unobserved(_) => {}
    }
}

/// Whether something of the call is masked.
pub fn is_masked(call: &CallEvent<'_>) -> bool {
    let arguments = &call.arguments;
    let keywords = arguments.kwargs.iter().map(|(_, value)| value);
    let given = arguments.self_.iter().chain(&arguments.args).chain(keywords);
    let mut all = given.chain(arguments.filled.iter().map(|(_, value)| value));
    all.any(has_masked)
        || match &call.outcome {
            Outcome::Returned(value) | Outcome::Yielded(value) => has_masked(value),
            Outcome::Raised(raised) => match &raised.args {
                ExceptionArgs::Items(items, _) => items.iter().any(has_masked),
                ExceptionArgs::Unknown => false,
            },
            Outcome::Unobserved(_) => false,
        }
}

fn has_masked(value: &Value<'_>) -> bool {
    match value {
        Value::Masked(_) => true,
        Value::Sequence { items, .. } | Value::Slice(items) => items.iter().any(has_masked),
        Value::Dict { pairs, .. } => pairs
            .iter()
            .any(|(key, value)| has_masked(key) || has_masked(value)),
        Value::Subclass { value, .. } | Value::Exception { args: value, .. } => has_masked(value),
        _ => false,
    }
}

/// Masks what a bytecode gives to an attribute, a global or an item that is named like a secret.
pub fn stored(operands: Operands, arguments: &mut Arguments<'_>) {
    if operands.name_a_value()
        && let [name, value, ..] = &mut arguments.args[..]
        && bytes_of(name).is_some_and(|name| secrets::is_name(&name) || is_environment(&name))
    {
        hide(value);
    }
}

/// Masks what the catalogue marks.
fn marked(secret: From, arguments: &mut Arguments<'_>, outcome: &mut Outcome<'_>) {
    match secret {
        From::Argument { position, name } => {
            if let Some(value) = arguments.args.get_mut(position) {
                hide(value);
            }
            for (key, value) in &mut arguments.kwargs {
                if !name.is_empty() && bytes_of(key).is_some_and(|key| key == name.as_bytes()) {
                    hide(value);
                }
            }
        }
        // No secret is there.
        From::Last | From::ResultItem(_) => {}
        From::Result => {
            if let Outcome::Returned(value) = outcome {
                hide(value);
            }
        }
    }
}

/// Masks a whole value. That none is given is no secret.
fn hide(value: &mut Value<'_>) {
    if !matches!(value, Value::None | Value::Null) {
        *value = Value::Masked(None);
    }
}

/// The UTF-8 of a text, or bytes.
fn bytes_of(value: &Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Str(text) => Some(text.to_string_lossy().into_bytes()),
        Value::Bytes(_, data, _) => Some(data.to_vec()),
        Value::Subclass { value, .. } => bytes_of(value),
        _ => None,
    }
}

/// Masks secrets in the texts of a value and of what it contains.
fn inside(value: &mut Value<'_>) {
    match value {
        Value::Str(text) => {
            let cut = text.captured() != text.len;
            if let Some(masked) = masked(text.to_string_lossy().as_bytes(), cut) {
                let text = String::from_utf8_lossy(&masked).into_owned();
                *value = Value::Masked(Some(MaskedText::Str(text, cut)));
            }
        }
        Value::Bytes(kind, data, len) => {
            let cut = data.len() as u64 != *len;
            if let Some(masked) = masked(data, cut) {
                *value = Value::Masked(Some(match kind {
                    BytesKind::Str => MaskedText::Str(String::from_utf8_lossy(&masked).into_owned(), cut),
                    kind => MaskedText::Bytes(*kind, masked, cut),
                }));
            }
        }
        Value::Sequence { items, .. } => items.iter_mut().for_each(inside),
        Value::Dict { pairs, .. } => {
            for (key, value) in pairs {
                match bytes_of(key) {
                    Some(key) if secrets::is_name(&key) || is_environment(&key) => hide(value),
                    _ => inside(value),
                }
                inside(key);
            }
        }
        Value::Subclass { value, .. } | Value::Exception { args: value, .. } => inside(value),
        _ => {}
    }
}

/// An upper-case name, as environment variables have.
fn is_environment(key: &[u8]) -> bool {
    key.iter().all(|c| !c.is_ascii_lowercase()) && secrets::is_variable(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::value::Text;

    fn text(data: &str) -> Value<'_> {
        Value::Str(Text {
            width: 1,
            data: data.as_bytes(),
            len: data.len() as u64,
            unicode: false,
        })
    }

    #[test]
    fn what_is_stored_under_a_secrets_name_is_masked() {
        let stored = |operands, name: &'static str| {
            let mut arguments = Arguments {
                args: vec![text(name), text("hunter2")],
                ..Arguments::default()
            };
            stored(operands, &mut arguments);
            arguments.args[1] == Value::Masked(None)
        };
        assert!(stored(Operands::Attribute, "password"));
        assert!(stored(Operands::Item, "API_KEY"));
        assert!(stored(Operands::Global, "token"));
        assert!(stored(Operands::Read, "SECRET_KEY"));
        assert!(!stored(Operands::Attribute, "name"));
        assert!(!stored(Operands::Print, "password"));
    }

    fn masked_call<'a>(
        function: &str,
        effect: &str,
        args: Vec<Value<'a>>,
        kwargs: Vec<(Value<'a>, Value<'a>)>,
    ) -> Arguments<'a> {
        let mut arguments = Arguments {
            args_len: args.len() as u64,
            kwargs_len: kwargs.len() as u64,
            args,
            kwargs,
            ..Arguments::default()
        };
        call(
            function,
            effect,
            &mut arguments,
            &mut Outcome::Unobserved("a test"),
        );
        arguments
    }

    #[test]
    fn what_the_catalogue_marks_is_masked() {
        let call = masked_call(
            "_hashlib.pbkdf2_hmac",
            "other.call",
            vec![text("sha1"), text("hunter2")],
            vec![],
        );
        assert_eq!(call.args, [text("sha1"), Value::Masked(None)]);
        let call = masked_call(
            "_hashlib.hmac_new",
            "other.call",
            vec![],
            vec![(text("key"), text("k"))],
        );
        assert_eq!(call.kwargs, [(text("key"), Value::Masked(None))]);
    }

    #[test]
    fn variables_keywords_and_items_are_masked_by_name() {
        let call = masked_call(
            "posix.putenv",
            "env.set",
            vec![text("API_KEY"), text("k")],
            vec![],
        );
        assert_eq!(call.args, [text("API_KEY"), Value::Masked(None)]);
        let call = masked_call("posix.putenv", "env.set", vec![text("HOME"), text("k")], vec![]);
        assert_eq!(call.args, [text("HOME"), text("k")]);
        let password = || text("password");
        let call = masked_call(
            "f",
            "other.call",
            vec![],
            vec![(password(), text("p")), (password(), Value::None)],
        );
        assert_eq!(
            call.kwargs,
            [(password(), Value::Masked(None)), (password(), Value::None)]
        );
        let dict = |value| Value::Dict {
            pairs: vec![(text("passwd"), value)],
            len: 1,
            id: 1,
        };
        let call = masked_call("f", "other.call", vec![dict(text("p"))], vec![]);
        assert_eq!(call.args, [dict(Value::Masked(None))]);
    }

    #[test]
    fn what_was_read_into_a_buffer_is_masked_too() {
        let mut arguments = Arguments {
            filled: Some((0, text("password=p"))),
            ..Arguments::default()
        };
        call(
            "f",
            "net.recv",
            &mut arguments,
            &mut Outcome::Unobserved("a test"),
        );
        let masked = Value::Masked(Some(MaskedText::Str("password=***".into(), false)));
        assert_eq!(arguments.filled, Some((0, masked)));
    }

    #[test]
    fn secrets_inside_texts_are_masked_where_they_are() {
        let call = masked_call("f", "other.call", vec![text("password=p x")], vec![]);
        let masked = MaskedText::Str("password=*** x".into(), false);
        assert_eq!(call.args, [Value::Masked(Some(masked))]);
    }

    #[test]
    fn bytes_with_a_secret_stay_what_they_are() {
        for kind in [BytesKind::Bytes, BytesKind::ByteArray, BytesKind::MemoryView] {
            let data = b"://me:secret@host";
            let value = Value::Bytes(kind, data, data.len() as u64);
            let call = masked_call("f", "other.call", vec![value], vec![]);
            let masked = MaskedText::Bytes(kind, b"://me:***@host".to_vec(), false);
            assert_eq!(call.args, [Value::Masked(Some(masked))]);
        }
    }
}
