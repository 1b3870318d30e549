//! What an event acts on, part by part.

use std::borrow::Cow;

use super::{
    call::CallEvent,
    handle::{NamedHandle, Part, peer_of},
};
use crate::decode::value::Value;

/// A part of an event's target, with a value from the call or from the file or socket that it is on.
#[derive(Debug)]
pub enum TargetValue<'c, 'a> {
    Value(&'c Value<'a>),
    Text(Cow<'c, str>),
    Number(u32),
}

impl<'a> CallEvent<'a> {
    /// The parts of the target that are known, by key; a key comes once.
    pub fn target_parts<'c>(&'c self) -> impl Iterator<Item = (&'static str, TargetValue<'c, 'a>)> {
        let given = self
            .meta
            .target
            .iter()
            .filter_map(|part| Some((part.key, self.part(part.from)?)));
        let of_handle = self.handle.iter().flat_map(NamedHandle::parts);
        given
            .clone()
            .map(|(key, value)| match peer_of(key, value) {
                Some(peer) => (key, TargetValue::Text(peer.into())),
                None => (key, TargetValue::Value(value)),
            })
            .chain(
                of_handle
                    .filter(move |(key, _)| !given.clone().any(|(other, _)| other == *key))
                    .map(|(key, part)| match part {
                        Part::Number(number) => (key, TargetValue::Number(number)),
                        Part::Text(text) => (key, TargetValue::Text(text.into())),
                    }),
            )
    }
}
