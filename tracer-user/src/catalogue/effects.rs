//! The catalogue of side effects: which C function does what to the world.

/// Where a part of an event's `target` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// A positional argument, or the keyword of that name (empty: positional only).
    Argument { position: usize, name: &'static str },
    /// The result of the call.
    Result,
}

/// One part of an event's `target`: `fd`, `path`, `peer`, `pid`, `sql` …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetPart {
    pub key: &'static str,
    pub from: From,
}
