//! File descriptors with names.

use std::sync::Arc;

use tracer_common::handle::HandleKind;

use super::call::TypeNames;
use crate::decode::value::{Arguments, Value};

/// The file or socket that a call is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHandle {
    pub fd: u32,
    /// It is `self`'s, not an argument.
    pub of_self: bool,
    pub is_socket: bool,
    /// The path of a file, as far as it is known for certain.
    pub path: Option<Arc<str>>,
    /// The other end of a socket.
    pub peer: Option<Peer>,
}

/// The other end of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// `address:port`
    Internet(String),
    /// The path that a Unix socket is bound to; an abstract name begins with a zero byte, as Python has it.
    Unix(String),
}

impl Peer {
    /// As programs know it.
    pub fn text(&self) -> &str {
        match self {
            Self::Internet(text) | Self::Unix(text) => text,
        }
    }
}

/// Types whose objects have a descriptor, where another object refers to them.
const OWNERS: [&str; 2] = ["_io.FileIO", "_socket.socket"];
/// What a weak reference to nothing refers to.
const NOTHING: [&str; 2] = ["builtins.NoneType", "__builtin__.NoneType"];

impl NamedHandle {
    /// Names the handle of a call; `None` where it has none, or it turns out to be none.
    pub fn new(arguments: &Arguments<'_>, kind: HandleKind, names: &mut TypeNames<'_>) -> Option<Self> {
        let handle = arguments.handle?;
        if let Some(owner) = handle.owner {
            let owner = names.names.type_name(names.target, owner)?;
            let fits = match kind {
                HandleKind::Weak => !NOTHING.contains(&&*owner),
                _ => OWNERS.contains(&&*owner),
            };
            if !fits {
                return None;
            }
        }
        let file = handle.file?;
        let path = match file.is_socket() {
            true => None,
            false => names.names.file(names.target, handle.fd, file.id),
        };
        Some(Self {
            fd: handle.fd,
            of_self: kind != HandleKind::Argument,
            is_socket: file.is_socket(),
            path,
            peer: file
                .peer()
                .map(|peer| Peer::Internet(peer.to_string()))
                .or_else(|| {
                    let name = String::from_utf8_lossy(arguments.peer_name?);
                    Some(Peer::Unix(name.into_owned()))
                }),
        })
    }
}

/// A part of an event's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Number(u32),
    Text(&'a str),
}

impl NamedHandle {
    /// What an event's target gets of it, by key.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, Part<'_>)> {
        let path = self.path.as_deref().map(|path| ("path", Part::Text(path)));
        let peer = self.peer.as_ref().map(|peer| ("peer", Part::Text(peer.text())));
        [Some(("fd", Part::Number(self.fd))), path, peer]
            .into_iter()
            .flatten()
    }
}

/// An address as programs give it, `('127.0.0.1', 5432)`, in the form of a handle's peer.
pub fn peer_of(key: &str, value: &Value<'_>) -> Option<String> {
    let Value::Sequence { items, .. } = value else {
        return None;
    };
    let ([host, Value::Int(port), ..], "peer" | "address") = (items.as_slice(), key) else {
        return None;
    };
    let host = whole_text(host)?;
    Some(match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    })
}

/// A text, or the bytes of one (Python 2's `str`), if all of it was captured.
pub fn whole_text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Str(text) => (text.captured() == text.len).then(|| text.to_string_lossy()),
        bytes => Some(String::from_utf8_lossy(whole_bytes(bytes)?).into_owned()),
    }
}

/// Bytes, if all of them were captured.
pub fn whole_bytes<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    match value {
        Value::Bytes(_, data, len) if data.len() as u64 == *len => Some(data),
        _ => None,
    }
}
