//! What a call belongs to besides its thread: the greenlet and the asyncio task that run, the span that is current. All are found in the
//! process when a probe is hit ([`crate::encode::begin_search`]); here is what has to be known of the process for that.

/// Where a process keeps its tasks and spans. Zeros: it has none, and nothing is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Attribution {
    /// The type `_asyncio.Task`; 0: no task is told.
    pub task_type: u64,
    /// `_asyncio._current_tasks`: loop to task (3.7 to 3.13). Later the thread state has the task.
    pub current_tasks: u64,
    /// The `ContextVar` that OpenTelemetry keeps its context in; 0: no span is told.
    pub context_var: u64,
    /// The key, a `str`, under which that context has the current span.
    pub span_key: u64,
    /// The interned `str` by which a span has its `SpanContext`: the attribute's name.
    pub span_context_name: u64,
    /// The type `greenlet.greenlet`; 0: no greenlet is told.
    pub greenlet_type: u64,
    /// Where a thread has greenlet's state of it: the module's number among those with thread-local storage, and the offset in its
    /// block.
    pub greenlet_module: u64,
    pub greenlet_state: u64,
    /// Where the tree of a context's variables has the variable (`hamt_hash`, Python/hamt.c).
    pub context_var_hash: u32,
    /// `task_coro` of `TaskObj` (Modules/_asynciomodule.c).
    pub task_coro: u16,
    /// `task_name`, the word behind it (3.8+); [`crate::target::ABSENT`] before.
    pub task_name: u16,
}

impl Attribution {
    /// Nothing to look for.
    pub const NONE: Self = Self {
        task_type: 0,
        current_tasks: 0,
        context_var: 0,
        span_key: 0,
        span_context_name: 0,
        greenlet_type: 0,
        greenlet_module: 0,
        greenlet_state: 0,
        context_var_hash: 0,
        task_coro: crate::target::ABSENT,
        task_name: crate::target::ABSENT,
    };

    /// Whether there is anything to look for.
    #[inline(always)]
    pub const fn is_wanted(&self) -> bool {
        self.task_type | self.context_var | self.greenlet_type != 0
    }
}

impl Default for Attribution {
    fn default() -> Self {
        Self::NONE
    }
}

/// What that `ContextVar` hash is to the tree: both halves of `var_hash` (`hamt_hash`, Python/hamt.c).
pub const fn hamt_hash(var_hash: u64) -> u32 {
    let mixed = var_hash as u32 ^ (var_hash >> 32) as u32;
    if mixed == u32::MAX { u32::MAX - 1 } else { mixed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_none_of_is_not_looked_for() {
        assert!(!Attribution::default().is_wanted());
        for wanted in [
            Attribution {
                task_type: 1,
                ..Attribution::NONE
            },
            Attribution {
                context_var: 1,
                ..Attribution::NONE
            },
            Attribution {
                greenlet_type: 1,
                ..Attribution::NONE
            },
        ] {
            assert!(wanted.is_wanted());
        }
    }
}
