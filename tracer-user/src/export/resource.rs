//! What records come from, by the semantic conventions of resources.

use opentelemetry_proto::tonic::{common::v1::KeyValue, resource::v1::Resource};

use super::attributes::{attribute, number_value, text_value};
use crate::sink::TargetInfo;

/// A resource of these attributes.
pub fn of(attributes: Vec<KeyValue>) -> Resource {
    Resource {
        attributes,
        ..Resource::default()
    }
}

/// A text as an attribute of a resource.
pub fn text(key: &str, text: impl Into<String>) -> KeyValue {
    attribute(key, text_value(text))
}

/// A number as an attribute of a resource.
pub fn number(key: &str, number: impl TryInto<i64>) -> KeyValue {
    attribute(key, number_value(number))
}

/// Of a traced process.
pub fn of_target(target: &TargetInfo) -> Resource {
    of(vec![
        number("process.pid", target.pid),
        text("process.executable.path", target.executable.as_str()),
        text("process.runtime.name", "cpython"),
        text("process.runtime.version", target.python.as_str()),
    ])
}
