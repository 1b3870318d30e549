//! Names that are resolved lazily: types and code objects.

use std::sync::Arc;

use super::handle::FileId;
use super::linetable::LineFormat;
use super::value::Activation;
use tracer_common::wire::{FrameRecord, TypeRef};

/// What is known of a code object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// `co_qualname` (3.11+), `co_name` before.
    pub function: String,
    /// `co_filename`.
    pub file: String,
    /// `co_firstlineno`.
    pub first_line: u32,
    /// `co_linetable` (3.10+) or `co_lnotab`.
    pub linetable: Vec<u8>,
    pub line_format: LineFormat,
}

/// What a Python function is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// `__name__` of its globals; empty where they have none.
    pub module: String,
    /// `__qualname__`; where a version has none, or it cannot be found, `co_name`.
    pub qualname: String,
}

/// Resolves addresses seen in records. An implementation reads the traced process (verified by
/// fingerprint, then cached) or a recording. `None`: the object is gone, or it is another one now.
pub trait Names {
    /// `module.qualname` of a type, builtins in full (`builtins.OSError`).
    fn type_name(&mut self, target: u16, of: TypeRef) -> Option<Arc<str>>;
    /// The `__name__` in the dict of a module of Python 2, whose module objects have no name themselves.
    fn module_name(&mut self, target: u16, module: u64, dict: u64) -> Option<Arc<str>>;
    /// The code object of a frame.
    fn code(&mut self, target: u16, frame: &FrameRecord) -> Option<Arc<Code>>;
    /// The name of a function that runs in a frame, which begins so. `None`: not even its code object can be named.
    fn function(&mut self, target: u16, frame: &FrameRecord, of: &Activation) -> Option<Arc<FunctionName>> {
        let code = self.code(target, frame)?;
        Some(Arc::new(FunctionName {
            module: of.module.clone().unwrap_or_default(),
            qualname: code.function.clone(),
        }))
    }
    /// The name of a thread (`comm`).
    fn thread_name(&mut self, _target: u16, _tid: u32) -> Option<Arc<str>> {
        None
    }
    /// The path of an open file, for certain.
    fn file(&mut self, target: u16, fd: u32, id: FileId) -> Option<Arc<str>> {
        let _ = (target, fd, id);
        None
    }
}

/// Has no names, for tests of what is shown without.
#[cfg(test)]
pub(crate) struct NoNames;

#[cfg(test)]
impl Names for NoNames {
    fn type_name(&mut self, _: u16, _: TypeRef) -> Option<Arc<str>> {
        None
    }

    fn module_name(&mut self, _: u16, _: u64, _: u64) -> Option<Arc<str>> {
        None
    }

    fn code(&mut self, _: u16, _: &FrameRecord) -> Option<Arc<Code>> {
        None
    }
}
