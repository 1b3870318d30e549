//! What a CPython process is made of: version, layout, known objects, names of types and code.

mod debug_offsets;
mod elf;
mod known;
pub mod layout;
pub mod names;
pub mod objects;
mod static_types;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use tracer_common::target::{CaptureLimits, FEATURE_LONG_TAG, KnownObjects, Target};

use crate::process::{Mapping, Process, ReadError, ReadMemory};
pub use known::Descriptors;
use layout::{ABSENT, Layout};
use objects::{ObjectError, Objects};

/// Mapped files looked into for an interpreter.
const MAX_FILES: usize = 1024;
/// Characters of `sys.version`.
const MAX_VERSION: u64 = 1024;

/// Why there is no interpreter to work with.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    #[error("process {0} runs no CPython: no mapped file exports _PyRuntime")]
    NotPython(u32),
    #[error("process {0} runs PyPy, which has other objects than CPython: only CPython is supported")]
    PyPy(u32),
    #[error("process {pid} runs Python {version}; supported are {}", Layout::supported())]
    Unsupported { pid: u32, version: String },
    #[error(
        "process {0} runs a free-threaded build of Python, whose objects look different: use the default build"
    )]
    FreeThreaded(u32),
    #[error(
        "process {0} runs a debug build of Python (Py_DEBUG), whose objects look different: use a release build"
    )]
    Debug(u32),
    #[error("Python in process {0} has not finished starting (or is shutting down): try again in a moment")]
    NotInitialised(u32),
    #[error(
        "Python {version} in process {pid} does not look as expected ({what}): refusing to guess, please report this"
    )]
    Layout {
        pid: u32,
        version: Version,
        what: String,
    },
    #[error("cannot read the memory of process {pid}: {error} (it may have ended; otherwise run as root)")]
    Memory { pid: u32, error: ReadError },
}

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// `PY_VERSION_HEX`, Include/patchlevel.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    pub fn major(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub fn minor(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub fn micro(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major(), self.minor(), self.micro())
    }
}

/// The interpreter of a process, checked against objects whose content is known.
#[derive(Clone, Debug)]
pub struct Interpreter {
    version: Version,
    version_string: String,
    layout: Layout,
    runtime: u64,
    main: u64,
    known: KnownObjects,
    descriptors: Descriptors,
    executable: PathBuf,
    library: Mapping,
}

impl Interpreter {
    /// Finds the interpreter and checks that its objects look as the layout says.
    pub fn find(process: &Process) -> Result<Self, InterpreterError> {
        let mut wanted = vec![RUNTIME, VERSION, DEBUG_BUILD];
        wanted.extend(known::symbols());
        let mut error = None;
        for mapping in candidates(process) {
            if let Some(symbols) = elf::symbols(process, mapping, RUNTIME, &wanted) {
                match Self::at(process, mapping, &symbols) {
                    // A library may be loaded and not in use, beside the one that is.
                    Err(found @ InterpreterError::NotInitialised(_)) => error = Some(found),
                    done => return done,
                }
            }
        }
        Err(error.unwrap_or_else(|| without_runtime(process)))
    }

    fn at(process: &Process, mapping: &Mapping, symbols: &elf::Symbols) -> Result<Self, InterpreterError> {
        let pid = process.pid();
        let memory = |error| InterpreterError::Memory { pid, error };
        let runtime = symbols[RUNTIME];
        let unsupported = |version| InterpreterError::Unsupported { pid, version };
        let version = match symbols.get(VERSION) {
            Some(addr) => Version(process.read_u32(*addr).map_err(memory)?),
            None => return Err(unsupported(old_version(process))),
        };
        if version.major() != 3 {
            return Err(unsupported(version.to_string()));
        }
        let table = Layout::of_minor(version.minor()).ok_or_else(|| unsupported(version.to_string()))?;
        if symbols.contains_key(DEBUG_BUILD) {
            return Err(InterpreterError::Debug(pid));
        }
        let mut layout = own_layout(process, version, runtime, table)?;
        let wrong = |what: String| InterpreterError::Layout { pid, version, what };
        let main =
            main_interpreter(process, &layout, runtime).ok_or(InterpreterError::NotInitialised(pid))?;
        let objects = Objects {
            memory: process,
            layout: &layout,
            interp: main,
        };
        let (known, descriptors) = known::read(&objects, symbols).map_err(wrong)?;
        let types = [
            known.object_type,
            known.long_type,
            known.dict_type,
            known.code_type,
            known.set_type,
        ];
        let user = static_types::locate(&objects, &types)
            .ok_or_else(|| wrong("the dicts of static types are not where they should be".into()))?;
        layout.user = user;
        let objects = Objects {
            memory: process,
            layout: &layout,
            interp: main,
        };
        let version_string = check(&objects, version, &known).map_err(wrong)?;
        Ok(Self {
            version,
            version_string,
            runtime,
            main,
            known,
            descriptors,
            executable: process.executable().unwrap_or_default(),
            library: mapping.clone(),
            layout,
        })
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

    /// Address of `_PyRuntime`.
    pub fn runtime(&self) -> u64 {
        self.runtime
    }

    /// Address of the main interpreter's `PyInterpreterState`.
    pub fn main_interpreter(&self) -> u64 {
        self.main
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

    /// The code of the file that exports `_PyRuntime`: the program or libpython.
    pub fn library(&self) -> &Mapping {
        &self.library
    }

    /// The objects of the process, or of a snapshot of it.
    pub fn objects<'a, M: ReadMemory>(&'a self, memory: &'a M) -> Objects<'a, M> {
        Objects {
            memory,
            layout: &self.layout,
            interp: self.main,
        }
    }

    /// Addresses of the interpreters (`PyInterpreterState`), the main one included; at most `max`.
    pub fn interpreters(&self, memory: &impl ReadMemory, max: usize) -> Vec<u64> {
        let objects = self.objects(memory);
        let head = objects.user_field(self.runtime, self.layout.user.interpreters_head);
        let mut all = Vec::new();
        let mut next = head.unwrap_or(self.main);
        while next != 0 && all.len() < max && !all.contains(&next) {
            all.push(next);
            next = objects.field(next, self.layout.offsets.interp_next).unwrap_or(0);
        }
        all
    }

    /// What the kernel half has to know of this process.
    pub fn target(&self, process: &Process, limits: CaptureLimits) -> Target {
        let user = &self.layout.user;
        // 0 where thread ids are the same inside and out: then no look-up is needed at each call.
        let (pidns_dev, pidns_ino) = match process.pid_namespace() {
            Ok((_, INITIAL_PID_NAMESPACE)) | Err(_) => (0, 0),
            Ok(other) => other,
        };
        Target {
            pidns_dev,
            pidns_ino,
            tstate_current: match user.tstate_current {
                ABSENT => 0,
                offset => self.runtime + u64::from(offset),
            },
            interpreters_head: self.runtime + u64::from(user.interpreters_head),
            known: self.known,
            limits,
            features: if self.layout.long_tag() {
                FEATURE_LONG_TAG
            } else {
                0
            },
            unicode_width: 0,
            offsets: self.layout.offsets,
            _padding: Default::default(),
        }
    }
}

const RUNTIME: &str = "_PyRuntime";
/// 3.11+.
const VERSION: &str = "Py_Version";
/// Exported by builds with `Py_REF_DEBUG` only (Include/object.h, 3.11 to 3.13).
const DEBUG_BUILD: &str = "_Py_NegativeRefcount";
/// 3.13 put `_Py_DebugOffsets` into `_PyRuntime`.
const FIRST_WITH_DEBUG_OFFSETS: u8 = 13;

/// The layout of this build: the table, or what the process itself says (3.13+) over it.
fn own_layout(
    process: &Process,
    version: Version,
    runtime: u64,
    table: Layout,
) -> Result<Layout, InterpreterError> {
    let pid = process.pid();
    let wrong = |what: &str| InterpreterError::Layout {
        pid,
        version,
        what: what.to_owned(),
    };
    let debug =
        debug_offsets::read(process, runtime).map_err(|error| InterpreterError::Memory { pid, error })?;
    match debug {
        None if version.minor() < FIRST_WITH_DEBUG_OFFSETS => Ok(table),
        None => Err(wrong("_PyRuntime has no debug offsets")),
        Some(debug) if debug.free_threaded => Err(InterpreterError::FreeThreaded(pid)),
        Some(debug) if debug.version >> 16 != u64::from(version.0 >> 16) => {
            Err(wrong("debug offsets of another version"))
        }
        Some(debug) => Layout::with_debug_offsets(version.minor(), &debug.words)
            .ok_or_else(|| wrong("debug offsets out of range")),
    }
}

/// One executable mapping of each mapped file: the likely ones first.
fn candidates(process: &Process) -> Vec<&Mapping> {
    let mut seen = HashSet::new();
    let mut files: Vec<&Mapping> = process
        .maps()
        .iter()
        .filter(|mapping| mapping.executable() && mapping.is_file())
        .filter(|mapping| seen.insert((mapping.dev, mapping.inode)))
        .take(MAX_FILES)
        .collect();
    let executable = process.executable();
    files.sort_by_key(|mapping| {
        let named = mapping.path.as_ref().and_then(|path| path.file_name());
        let python = named.is_some_and(|name| name.to_string_lossy().starts_with("libpython"));
        !(python || executable.is_some() && mapping.path == executable)
    });
    files
}

/// Why no mapped file exports `_PyRuntime`.
fn without_runtime(process: &Process) -> InterpreterError {
    let pid = process.pid();
    let program = process.executable().unwrap_or_default();
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    if program.starts_with("pypy") || process.has_mapping_named("libpypy") {
        return InterpreterError::PyPy(pid);
    }
    // 2.7 to 3.6 have no _PyRuntime.
    match old_version(process) {
        version if program.starts_with("python") => InterpreterError::Unsupported { pid, version },
        _ => InterpreterError::NotPython(pid),
    }
}

/// A version without `Py_Version`, by the names of the mapped files.
fn old_version(process: &Process) -> String {
    let names = process
        .maps()
        .iter()
        .filter_map(|mapping| mapping.path.as_ref()?.file_name())
        .map(|name| name.to_string_lossy());
    let mut versions = names.filter_map(|name| {
        let rest = name
            .strip_prefix("libpython")
            .or_else(|| name.strip_prefix("python"))?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let version = rest[..end.unwrap_or(rest.len())].trim_matches('.');
        version.contains('.').then(|| version.to_owned())
    });
    versions.next().unwrap_or_else(|| "older than 3.11".to_owned())
}

/// `_PyRuntime.interpreters.main`, once Python is fully initialised.
fn main_interpreter(process: &Process, layout: &Layout, runtime: u64) -> Option<u64> {
    let initialized = process
        .read_u32(runtime + u64::from(layout.user.runtime_initialized))
        .ok()?;
    let main = process
        .read_u64(runtime + u64::from(layout.user.interpreters_main))
        .ok()?;
    (initialized != 0 && main != 0).then_some(main)
}

/// Compares the content of `sys` with what it must be. The version string, or what is wrong.
fn check<M: ReadMemory>(
    objects: &Objects<'_, M>,
    version: Version,
    known: &KnownObjects,
) -> Result<String, String> {
    let user = &objects.layout.user;
    let at = |what: &'static str| move |error: ObjectError| format!("{what}: {error}");
    let modules = objects
        .user_field(objects.interp, user.interp_modules)
        .map_err(at("sys.modules"))?;
    let sys = objects
        .dict_get(modules, "sys")
        .map_err(at("sys.modules"))?
        .ok_or("no sys in sys.modules")?;
    if objects.type_of(sys) != Ok(known.module_type) {
        return Err("sys is not a module".into());
    }
    let dict = objects.user_field(sys, user.md_dict).map_err(at("sys"))?;
    if objects.user_field(objects.interp, user.interp_sysdict) != Ok(dict) {
        return Err("sys has another dict than the interpreter says".into());
    }
    let value = |name: &'static str| {
        objects
            .dict_get(dict, name)
            .map_err(at(name))?
            .ok_or_else(|| format!("no sys.{name}"))
    };
    let hexversion = objects
        .small_int(value("hexversion")?)
        .map_err(at("sys.hexversion"))?;
    if hexversion != version.0 {
        return Err(format!(
            "sys.hexversion is {hexversion:#x}, Py_Version {:#x}",
            version.0
        ));
    }
    let text = objects
        .string(value("version")?, MAX_VERSION)
        .map_err(at("sys.version"))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    if !first.starts_with(&version.to_string()) {
        return Err(format!("sys.version is {first:?}"));
    }
    let name = objects
        .type_dict(known.object_type)
        .and_then(|dict| objects.dict(dict));
    match name {
        Ok(dict) if !dict.is_empty() => Ok(first.to_owned()),
        Ok(_) => Err("object has no attributes".into()),
        Err(error) => Err(format!("the dict of object: {error}")),
    }
}
