//! Attributes of a record, in the order in which they are set.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use super::redact::Redaction;

/// A text as an attribute's value, or as a body.
pub fn text_value(text: impl Into<String>) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.into())),
    }
}

/// A number as an attribute's value; what is too large is the largest one.
pub fn number_value(number: impl TryInto<i64>) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::IntValue(number.try_into().unwrap_or(i64::MAX))),
    }
}

/// An attribute.
pub fn attribute(key: impl Into<String>, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(value),
        key_strindex: 0,
    }
}

/// Collects attributes; texts of the traced process are redacted on the way.
pub struct Attributes<'r> {
    list: Vec<KeyValue>,
    redaction: &'r Redaction,
}

impl<'r> Attributes<'r> {
    pub fn new(redaction: &'r Redaction) -> Self {
        Self {
            // Of a call there are about as many.
            list: Vec::with_capacity(16),
            redaction,
        }
    }

    /// A text of the traced process.
    pub fn text(&mut self, key: impl Into<String>, text: &str) {
        let text = self.redaction.text(text).into_owned();
        self.list.push(attribute(key, text_value(text)));
    }

    /// A text of this program, or one that is redacted already.
    pub fn own(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.list.push(attribute(key, text_value(text)));
    }

    pub fn number(&mut self, key: impl Into<String>, number: impl TryInto<i64>) {
        self.list.push(attribute(key, number_value(number)));
    }

    /// Something that is so. What is not so has no attribute.
    pub fn flag(&mut self, key: &str) {
        let value = Some(any_value::Value::BoolValue(true));
        self.list.push(attribute(key, AnyValue { value }));
    }

    /// What `write` writes, of values that are redacted already.
    pub fn written(&mut self, key: impl Into<String>, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        write(&mut text);
        self.own(key, lossy(text));
    }

    /// A text of the traced process, for a value that is made of several.
    pub fn hidden<'t>(&self, text: &'t str) -> std::borrow::Cow<'t, str> {
        self.redaction.text(text)
    }

    pub fn finish(self) -> Vec<KeyValue> {
        self.list
    }
}

/// Text of bytes; what is no character becomes U+FFFD.
pub fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
