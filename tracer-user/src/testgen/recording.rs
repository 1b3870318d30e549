//! Questions to a recording: its events, in the JSON format.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::TestgenError;

pub(super) fn text<'e>(event: &'e Json, field: &str) -> Option<&'e str> {
    event.get(field).and_then(Json::as_str)
}

pub(super) fn is(event: &Json, field: &str, expected: &str) -> bool {
    text(event, field) == Some(expected)
}

pub(super) fn id_of(value: &Json) -> Option<&str> {
    text(value, "id")
}

pub(super) fn group(event: &Json) -> &str {
    text(event, "effect")
        .and_then(|effect| effect.split('.').next())
        .unwrap_or_default()
}

/// The events of a recording.
pub(super) struct Recording<'e> {
    /// By their ids: in the order in which they began.
    pub(super) events: BTreeMap<u64, &'e Json>,
}

impl<'e> Recording<'e> {
    pub(super) fn new(events: &'e [Json]) -> Self {
        let with_id = events
            .iter()
            .filter_map(|event| Some((event.get("id")?.as_u64()?, event)));
        Self {
            events: with_id.collect(),
        }
    }

    pub(super) fn not_recorded(&self, function: &str) -> TestgenError {
        let mut names: Vec<&str> = self
            .events
            .values()
            .filter(|event| is(event, "type", "function"))
            .filter_map(|event| text(event, "function"))
            .collect();
        names.sort_unstable();
        names.dedup();
        let last = function.rsplit('.').next().unwrap_or(function);
        let like = names.iter().filter(|name| name.rsplit('.').next() == Some(last));
        let like: Vec<&str> = like.copied().collect();
        let hint = match (names.is_empty(), like.is_empty()) {
            (true, _) => "record with `--calls GLOB`".to_owned(),
            (false, true) => format!("recorded were {}", shortened(&names)),
            (false, false) => format!("did you mean {}?", shortened(&like)),
        };
        TestgenError::NotRecorded {
            function: function.to_owned(),
            hint,
        }
    }

    /// What happened inside a call, in its order.
    pub(super) fn inside(&self, call: u64) -> impl Iterator<Item = &'e Json> {
        self.events
            .range(call + 1..)
            .map(|(_, event)| *event)
            .filter(move |event| self.is_inside(event, call))
    }

    fn is_inside(&self, event: &Json, call: u64) -> bool {
        self.around(event).any(|id| id == call)
    }

    /// The events around one, the nearest first. Each began before.
    pub(super) fn around<'s>(&'s self, event: &Json) -> impl Iterator<Item = u64> + use<'s, 'e> {
        let parent = |event: &Json| event.get("parent").and_then(Json::as_u64);
        let mut last = u64::MAX;
        let mut next = parent(event);
        std::iter::from_fn(move || {
            let id = next.filter(|id| *id < last)?;
            last = id;
            next = self.events.get(&id).and_then(|event| parent(event));
            Some(id)
        })
    }

    /// Whether it is an act of its own inside a call: in no other call of a C function.
    pub(super) fn is_outermost(&self, event: &Json, call: u64) -> bool {
        self.around(event).take_while(|id| *id != call).all(|id| {
            self.events
                .get(&id)
                .is_some_and(|event| !is(event, "type", "call"))
        })
    }

    /// The attributes that an object was seen to get before a call.
    pub(super) fn attributes(&self, object: &str, before: u64) -> Vec<(&'e str, &'e Json)> {
        let mut found: Vec<(&str, &Json)> = Vec::new();
        for event in self.events.range(..before).map(|(_, event)| *event) {
            if is(event, "op", "STORE_ATTR")
                && event.get("object").and_then(id_of) == Some(object)
                && let (Some(name), Some(value)) = (text(event, "name"), event.get("value"))
            {
                found.retain(|(known, _)| *known != name);
                found.push((name, value));
            }
        }
        found
    }
}

/// Some of many names.
fn shortened(names: &[&str]) -> String {
    const MOST: usize = 8;
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(MOST)].join(", "))
}
