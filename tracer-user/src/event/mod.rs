//! Calls with names: what the sinks print.

use std::sync::Arc;

use tracer_common::cookie::{Convention, ReturnKind, SelfKind};

use crate::catalogue::effects::TargetPart;

/// What the decoder has to know of a site, by site index.
#[derive(Clone, Debug)]
pub struct SiteMeta {
    /// `module.qualname` as Python reports it: `posix.open`, `_socket.socket.send`.
    pub function: Arc<str>,
    /// Module part of `function` (`_socket`), so that `qualname` is the rest.
    pub module_len: usize,
    /// `group.name`: `file.open`; `other.call` for functions named by `-f` that have none.
    pub effect: &'static str,
    pub convention: Convention,
    pub self_kind: SelfKind,
    pub return_kind: ReturnKind,
    /// What to add to an entry record's `sp` to get the stack pointer at function entry.
    pub sp_offset: u32,
    /// Named by `-f`: shown even inside another traced call.
    pub named: bool,
    /// Why no return probe is there; such calls are `unobserved`.
    pub no_return: Option<&'static str>,
    /// Parts of the event's `target`.
    pub target: &'static [TargetPart],
}
