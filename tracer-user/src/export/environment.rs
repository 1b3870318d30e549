//! What OpenTelemetry's environment variables say, for the agent itself: where a cluster keeps headers as a secret, and tells the name of
//! the node, they are variables of its container.
//!
//! Lists of `key=value` with commas between them, percent-encoded (OpenTelemetry specification, "OTLP exporter configuration" and
//! "Resource SDK"; W3C Baggage without properties).

use std::{collections::BTreeMap, env};

use thiserror::Error;

/// Sent with each request.
pub const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Said of everything that is sent, such as `host.name`.
pub const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// What is wrong with a variable. Its values may be secret: they are not shown.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{variable}: part {part} is no `key=value`, percent-encoded, as in `authorization=Bearer%20TOKEN`")]
pub struct Wrong {
    variable: &'static str,
    /// From 1.
    part: usize,
}

/// The pairs of one of these variables; none where it is not set.
pub fn read(variable: &'static str) -> Result<BTreeMap<String, String>, Wrong> {
    let text = env::var_os(variable).unwrap_or_default();
    let text = text.to_str().ok_or(Wrong { variable, part: 1 })?;
    pairs(text).map_err(|part| Wrong { variable, part })
}

/// Or the number of the part that is none.
fn pairs(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let parts = text.split(',').map(str::trim).enumerate();
    let pair = |(at, part): (usize, &str)| {
        let (key, value) = part.split_once('=').ok_or(at + 1)?;
        let key = decoded(key.trim()).filter(|key| !key.is_empty());
        let pair = key.zip(decoded(value.trim()));
        pair.ok_or(at + 1)
    };
    parts.filter(|(_, part)| !part.is_empty()).map(pair).collect()
}

/// `%20` is a space. `None`: there is half of one, or what comes out is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push((digit(*high)? << 4 | digit(*low)?) as u8);
                behind
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(*first);
                behind
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read() {
        let found = pairs(" authorization=Bearer%20a%3Db , x=1,,empty=,y=a=b").unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(
            found,
            [
                ("authorization", "Bearer a=b"),
                ("empty", ""),
                ("x", "1"),
                ("y", "a=b")
            ]
        );
        assert_eq!(pairs(""), Ok(BTreeMap::new()));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_place() {
        for (text, part) in [
            ("a=1,b", 2),
            ("=1", 1),
            ("a=%2", 1),
            ("a=1,b=%zz", 2),
            ("a=%ff", 1),
        ] {
            assert_eq!(pairs(text), Err(part), "{text}");
        }
        let said = Wrong {
            variable: HEADERS,
            part: 2,
        }
        .to_string();
        assert!(said.starts_with("OTEL_EXPORTER_OTLP_HEADERS: part 2 "), "{said}");
    }

    #[test]
    fn a_variable_that_is_not_set_says_nothing() {
        assert_eq!(read("OTEL_PYTRACE_TEST_UNSET"), Ok(BTreeMap::new()));
    }
}
