//! What a CPython process is made of: version, layout, known objects, names of types and code.

mod check;
mod debug_offsets;
mod elf;
mod find;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod getter;
mod known;
pub mod layout;
pub mod names;
pub mod objects;
mod qualnames;
pub mod start;
mod static_types;
mod version;

use std::path::{Path, PathBuf};

use tracer_common::attribution::Attribution;
use tracer_common::target::{CaptureLimits, FEATURE_LONG_TAG, FEATURE_PYTHON2, KnownObjects, Target};

use crate::bytecode::opcodes::Opcodes;
use crate::process::{INITIAL_PID_NAMESPACE, Mapping, Process, ReadError, ReadMemory};
pub(crate) use elf::{Elf, ElfBytes, load_bias};
pub use known::Descriptors;
use layout::Layout;
use objects::Objects;

/// What may stand before an instruction and be part of its argument. The second is what 3.11 makes of the first;
/// the others stand in its place where it is instrumented (3.12+, Python/instrumentation.c).
const EXTENDED_ARG: [&str; 4] = [
    "EXTENDED_ARG",
    "EXTENDED_ARG_QUICK",
    "INSTRUMENTED_LINE",
    "INSTRUMENTED_INSTRUCTION",
];
/// What `raise` is.
const RAISE_VARARGS: &str = "RAISE_VARARGS";
/// Interpreters looked at to find the main one.
const MAX_INTERPRETERS: usize = 256;
pub use version::Version;

/// Why there is no interpreter to work with.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    #[error(
        "process {0} runs no CPython: no mapped file has its symbols; `pgrep -a python` lists those that do"
    )]
    NotPython(u32),
    #[error(
        "process {0} may run CPython, but no mapped file has its symbols (a static build without -rdynamic, \
         stripped?): use a build that exports them, as every distribution's does"
    )]
    NoSymbols(u32),
    #[error("process {0} runs PyPy, which has other objects than CPython: only CPython is supported")]
    PyPy(u32),
    #[error("process {pid} runs Python {version}; supported are {}", Layout::supported())]
    Unsupported { pid: u32, version: String },
    #[error(
        "process {pid} runs Python {version}, an alpha or beta whose objects may look different from the \
         release's: use a release or a release candidate"
    )]
    Unfinished { pid: u32, version: Version },
    #[error(
        "process {0} runs a debug build of Python (Py_DEBUG), whose objects look different: use a release build"
    )]
    Debug(u32),
    #[error("Python in process {0} has not finished starting (or is shutting down): try again in a moment")]
    NotInitialised(u32),
    #[error(
        "Python {version} in process {pid} does not look as expected ({what}): refusing to guess, please report this"
    )]
    Layout { pid: u32, version: String, what: String },
    #[error("cannot read the memory of process {pid}: {error} (it may have ended; otherwise run as root)")]
    Memory { pid: u32, error: ReadError },
}

/// The interpreter of a process, checked against objects whose content is known.
#[derive(Clone, Debug)]
pub struct Interpreter {
    version: Version,
    version_string: String,
    layout: Layout,
    roots: Roots,
    known: KnownObjects,
    descriptors: Descriptors,
    executable: PathBuf,
    library: Mapping,
}

/// Where everything hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Address of the pointer to the first `PyInterpreterState`: `_PyRuntime.interpreters.head` (3.7+), or
    /// `interp_head` (Python/pystate.c).
    pub interpreters_head: u64,
    /// The main interpreter's `PyInterpreterState`.
    pub main: u64,
    /// Address of the pointer to the running thread's state (up to 3.11); 0: it is thread-local.
    pub tstate_current: u64,
}

impl Interpreter {
    /// Finds the interpreter and checks that its objects look as the layout says.
    pub fn find(process: &Process) -> Result<Self, InterpreterError> {
        find::find(process)
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// As `sys.version` begins: `3.11.2`, `3.13.0rc1`.
    pub fn python_version_string(&self) -> &str {
        &self.version_string
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether code objects have their qualified names themselves (3.11+).
    pub fn has_qualnames(&self) -> bool {
        (self.version().major(), self.version().minor()) >= (3, 11)
    }

    /// Address of the main interpreter's `PyInterpreterState`.
    pub fn main_interpreter(&self) -> u64 {
        self.roots.main
    }

    pub fn known(&self) -> KnownObjects {
        self.known
    }

    /// The types whose instances wrap C functions.
    pub fn descriptors(&self) -> Descriptors {
        self.descriptors
    }

    /// `/proc/PID/exe`: the program, as the process sees it.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// The code of the file that holds the interpreter: the program or libpython.
    pub fn library(&self) -> &Mapping {
        &self.library
    }

    /// The objects of the process, or of a snapshot of it.
    pub fn objects<'a, M: ReadMemory>(&'a self, memory: &'a M) -> Objects<'a, M> {
        Objects {
            memory,
            layout: &self.layout,
            interp: self.roots.main,
        }
    }

    /// Addresses of the interpreters (`PyInterpreterState`), the main one included; at most `max`.
    pub fn interpreters(&self, memory: &impl ReadMemory, max: usize) -> Vec<u64> {
        let objects = self.objects(memory);
        let mut all = Vec::new();
        let mut next = memory
            .read_u64(self.roots.interpreters_head)
            .unwrap_or(self.roots.main);
        while next != 0 && all.len() < max && !all.contains(&next) {
            all.push(next);
            next = objects.field(next, self.layout.offsets.interp_next).unwrap_or(0);
        }
        all
    }

    /// Whether it still is where it was found: not where it was shut down, or the process runs another program.
    pub fn is_there(&self, memory: &impl ReadMemory) -> bool {
        let all = self.interpreters(memory, MAX_INTERPRETERS);
        // With more of them than are looked at, the main one comes last.
        all.contains(&self.roots.main) && memory.read_u64(self.roots.interpreters_head).is_ok()
            || all.len() == MAX_INTERPRETERS
    }

    /// What the kernel half has to know of this process.
    pub fn target(&self, process: &Process, limits: CaptureLimits) -> Target {
        // 0 where thread ids are the same inside and out: then no look-up is needed at each call.
        let (pidns_dev, pidns_ino) = match process.pid_namespace() {
            Ok((_, INITIAL_PID_NAMESPACE)) | Err(_) => (0, 0),
            Ok(other) => other,
        };
        let opcode = |name| Opcodes::of(self.version())?.number(name);
        let extended_arg = opcode(EXTENDED_ARG[0]).unwrap_or_default();
        let in_its_place = EXTENDED_ARG.map(|name| opcode(name).unwrap_or(extended_arg));
        Target {
            pidns_dev,
            pidns_ino,
            tstate_current: self.roots.tstate_current,
            interpreters_head: self.roots.interpreters_head,
            known: self.known,
            limits,
            features: self.features(),
            unicode_width: self.layout.unicode_width,
            attribution: Attribution::NONE,
            raise_varargs: u64::from(opcode(RAISE_VARARGS).unwrap_or_default()),
            extended_arg: u64::from(u32::from_le_bytes(in_its_place)),
            offsets: self.layout.offsets,
            _padding: Default::default(),
        }
    }

    fn features(&self) -> u32 {
        let feature = |has: bool, bit: u32| if has { bit } else { 0 };
        feature(self.layout.long_tag, FEATURE_LONG_TAG) | feature(self.layout.is_python2(), FEATURE_PYTHON2)
    }
}
