//! Calls that are meant by what they act on, or by the task that they belong to: `--path`, `--peer` and `--task`.

use super::{
    call::CallEvent,
    handle::Part,
    pattern::{BadGlob, Patterns},
};
use crate::decode::{attribution::Task, value::Value};

/// Parts of an event's target that are paths, and those that say who is at the other end.
const PATHS: [&str; 2] = ["path", "to_path"];
const PEERS: [&str; 2] = ["peer", "host"];

/// The globs of these options.
#[derive(Clone, Debug, Default)]
pub struct ActedOn {
    paths: Patterns,
    peers: Patterns,
    tasks: Patterns,
}

impl ActedOn {
    /// # Errors
    ///
    /// The first glob that is none.
    pub fn new(paths: &[String], peers: &[String], tasks: &[String]) -> Result<Self, BadGlob> {
        Ok(Self {
            paths: Patterns::parse(paths)?,
            peers: Patterns::parse(peers)?,
            tasks: Patterns::parse(tasks)?,
        })
    }

    /// Whether the call acts on such a path, on such a peer, and belongs to such a task, as far as globs were given.
    pub fn matches(&mut self, call: &CallEvent<'_>) -> bool {
        let by_path = self.paths.is_empty() || {
            let paths = parts(call, &PATHS);
            paths.fold(false, |any, path| self.paths.path(&path) | any)
        };
        let by_peer = self.peers.is_empty() || {
            let peers = parts(call, &PEERS).chain(host_and_port(call));
            peers.fold(false, |any, peer| {
                // An address matches without its port too.
                let host = peer.rsplit_once(':').map(|(host, _)| self.peers.name(host));
                self.peers.name(&peer) | host.unwrap_or(false) | any
            })
        };
        let by_task = self.tasks.is_empty() || {
            let task = call.arguments.attribution.task.as_ref();
            task.and_then(Task::name)
                .is_some_and(|name| self.tasks.name(&name))
        };
        by_path && by_peer && by_task
    }

    /// Options that matched nothing.
    pub fn unmatched(&self) -> impl Iterator<Item = String> {
        let paths = self.paths.unmatched().map(|glob| format!("--path {glob}"));
        let peers = self.peers.unmatched().map(|glob| format!("--peer {glob}"));
        let tasks = self.tasks.unmatched().map(|glob| format!("--task {glob}"));
        paths.chain(peers).chain(tasks)
    }
}

/// What the arguments say, and what is known of the file or socket that the call is on.
fn parts<'a>(call: &'a CallEvent<'_>, keys: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let parts = call.meta.target.iter().filter(|part| keys.contains(&part.key));
    let said = parts.filter_map(|part| text(call.part(part.from)?));
    let handle = call.handle.iter().flat_map(|handle| handle.parts());
    let known = handle.filter_map(|(key, part)| match part {
        Part::Text(text) if keys.contains(&key) => Some(text.to_owned()),
        _ => None,
    });
    said.chain(known)
}

/// `host:port`, of calls that have them apart.
fn host_and_port(call: &CallEvent<'_>) -> Option<String> {
    let part = |key: &str| {
        let part = call.meta.target.iter().find(|part| part.key == key)?;
        text(call.part(part.from)?)
    };
    Some(format!("{}:{}", part("host")?, part("port")?))
}

/// A path or an address as one writes it: `('127.0.0.1', 80)` is `127.0.0.1:80`, `('::1', 80, 0, 0)` is
/// `[::1]:80`. `None`: it is something else.
fn text(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Bytes(_, bytes, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(number) | Value::Long(number) => Some(number.to_string()),
        Value::Subclass { value, .. } => text(value),
        Value::Sequence { items, .. } => {
            let host = text(items.first()?)?;
            let port = text(items.get(1)?)?;
            Some(if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            })
        }
        other => other.text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::value::{BytesKind, SequenceKind};

    #[test]
    fn addresses_are_written_as_people_do() {
        let host = |host: &'static str| Value::Bytes(BytesKind::Bytes, host.as_bytes(), host.len() as u64);
        let tuple = |items: Vec<Value<'static>>| Value::Sequence {
            kind: SequenceKind::Tuple,
            len: items.len() as u64,
            items,
            id: 1,
        };
        let v4 = tuple(vec![host("127.0.0.1"), Value::Int(80)]);
        let v6 = tuple(vec![host("::1"), Value::Int(80), Value::Int(0), Value::Int(0)]);
        assert_eq!(text(&v4).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(text(&v6).as_deref(), Some("[::1]:80"));
        assert_eq!(text(&host("/run/s")).as_deref(), Some("/run/s"));
        assert_eq!(text(&Value::None), None);
    }
}
