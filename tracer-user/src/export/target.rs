//! What a call acts on, as attributes: by the names of the semantic conventions where there are any, else `pytrace.target.NAME`.

use super::{attributes::Attributes, record::Values};
use crate::{
    decode::value::Value,
    event::{
        call::{CallEvent, TypeNames},
        target::TargetValue,
    },
    sink::{json_value, plain_text::plain_text},
};

/// Parts of a target that are values of the program rather than names of what it acts on.
const VALUES: [&str; 4] = ["argv", "command", "dsn", "sql"];

/// Sets them.
pub fn set(call: &CallEvent<'_>, values: Values, names: &mut TypeNames<'_>, to: &mut Attributes<'_>) {
    for (key, part) in call.target_parts() {
        if values == Values::None && VALUES.contains(&key) {
            continue;
        }
        match part {
            TargetValue::Number(number) => to.number(attribute(key), number),
            TargetValue::Text(text) if key == "peer" => peer(&text, to),
            // Of a value that was redacted already.
            TargetValue::Text(text) => to.own(attribute(key), text),
            // A descriptor in place of a path.
            TargetValue::Value(Value::Int(number) | Value::Long(number)) if key == "path" => {
                to.number("pytrace.target.path", *number);
            }
            TargetValue::Value(Value::Int(number) | Value::Long(number)) => {
                to.number(attribute(key), *number);
            }
            TargetValue::Value(Value::Sequence { items, .. }) if key == "peer" && host(items).is_some() => {
                // An address of which something is redacted.
                to.own("network.peer.address", host(items).unwrap_or_default());
                if let Some(Value::Int(port) | Value::Long(port)) = items.get(1) {
                    to.number("network.peer.port", *port);
                }
            }
            TargetValue::Value(Value::None | Value::Null | Value::Cut | Value::Unreadable(_)) => {}
            TargetValue::Value(value) => match plain_text(value) {
                Some(text) if key == "peer" => peer(&text, to),
                Some(text) => to.own(attribute(key), text),
                None if values == Values::None => {}
                // Several at once, as the programs that are tried: no path, and not named as one.
                None => to.written(format!("pytrace.target.{key}"), |out| {
                    json_value::value(value, names, out);
                }),
            },
        }
    }
}

/// The first part of an address.
fn host(address: &[Value<'_>]) -> Option<String> {
    plain_text(address.first()?)
}

/// The name of an attribute.
fn attribute(key: &str) -> String {
    match key {
        "path" => "file.path".to_owned(),
        "sql" => "db.query.text".to_owned(),
        "host" => "server.address".to_owned(),
        "port" => "server.port".to_owned(),
        key => format!("pytrace.target.{key}"),
    }
}

/// The other end of a socket: `127.0.0.1:80`, `[::1]:80`, or the name of a Unix socket.
fn peer(peer: &str, to: &mut Attributes<'_>) {
    let (address, port) = match peer
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()))
    {
        Some((host, Ok(port))) if !peer.starts_with(['/', '\0']) => (host, Some(port)),
        _ => (peer, None),
    };
    let bare = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'));
    to.own("network.peer.address", bare.unwrap_or(address));
    if let Some(port) = port {
        to.number("network.peer.port", port);
    }
}
