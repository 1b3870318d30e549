//! Calls with names: what the sinks print.

pub mod acted;
pub mod call;
pub mod handle;
pub mod judge;
pub mod mask;
pub mod naming;
pub mod pattern;
pub mod runs;
mod secret_text;
pub mod shaping;
pub mod sum;
pub mod target;

use std::sync::Arc;

use tracer_common::{
    activation::Role,
    cookie::{Convention, ReturnKind, SelfKind},
    handle::HandleKind,
};

use crate::{bytecode::Operands, catalogue::effects::TargetPart, decode::value::Arguments};

/// What the decoder has to know of a site, by site index.
#[derive(Clone, Debug)]
pub struct SiteMeta {
    /// `module.qualname` as Python reports it: `posix.open`, `_socket.socket.send`. Of a bytecode its name.
    pub function: Arc<str>,
    /// Module part of `function` (`_socket`), so that `qualname` is the rest; 0: it is a bytecode.
    pub module_len: usize,
    /// Other names it goes by: several types may share one C function.
    pub aliases: Arc<[Arc<str>]>,
    /// `group.name`: `file.open`; `other.call` for functions named by `-f` that have none.
    pub effect: &'static str,
    /// Asked for, by that effect or by name.
    pub wanted: bool,
    /// For a slot that sets and deletes: what it does when it deletes.
    pub deletion: Option<Deletion>,
    pub convention: Convention,
    pub self_kind: SelfKind,
    pub return_kind: ReturnKind,
    /// Named by `-f`: shown even inside another traced call.
    pub named: bool,
    /// Why no return probe is there; such calls are `unobserved`.
    pub no_return: Option<&'static str>,
    /// Where a file descriptor is that the call is on.
    pub handle: HandleKind,
    /// Of a bytecode: what its operands are.
    pub operands: Option<Operands>,
    /// It is where runs of Python functions begin or end.
    pub run: Option<Role>,
    /// Parts of the event's `target`.
    pub target: &'static [TargetPart],
}

/// A slot that gets no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    pub effect: &'static str,
    /// Asked for, by that effect or by name.
    pub wanted: bool,
}

/// Effect groups whose functions run other people's code rather than doing one act: what happens
/// inside them is shown by itself.
const ENCLOSING: [&str; 6] = ["other", "code", "import", "thread", "exception", "python"];

/// The effect of calls of Python functions: by themselves they have none.
pub const PYTHON_CALL: &str = "python.call";

impl SiteMeta {
    /// Whether calls inside this one are part of the same act (`print` writes to a file).
    pub fn is_one_act(&self) -> bool {
        let group = self.effect.split('.').next().unwrap_or_default();
        !ENCLOSING.contains(&group)
    }

    /// Whether this call does anything: the end of an object that has no descriptor any more does not.
    pub fn is_act(&self, arguments: &Arguments<'_>) -> bool {
        self.return_kind != ReturnKind::Nothing || arguments.handle.is_some()
    }
}

/// For tests: a function of no arguments that is wanted, and nothing besides.
#[cfg(any(test, fuzzing))]
pub(crate) fn plain_site(function: &str, effect: &'static str) -> SiteMeta {
    SiteMeta {
        function: function.into(),
        module_len: function.find('.').unwrap_or(0),
        aliases: Arc::new([]),
        effect,
        wanted: true,
        deletion: None,
        convention: Convention::NoArgs,
        self_kind: SelfKind::Module,
        return_kind: ReturnKind::Object,
        named: false,
        no_return: None,
        handle: HandleKind::None,
        operands: None,
        run: None,
        target: &[],
    }
}
