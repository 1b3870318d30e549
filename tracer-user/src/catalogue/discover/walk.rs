//! The walk over modules and types.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tracer_common::target::KnownObjects;
use tracer_common::wire::TypeRef;

use super::MAX_OBJECTS;
use super::function::Found;
use crate::cpython::names::type_fingerprint;
use crate::cpython::objects::{MAX_NAME, ObjectError, Objects, TypeName, tp_flags};
use crate::cpython::{Descriptors, Interpreter};
use crate::process::ReadMemory;

/// Subinterpreters looked at, at most.
const MAX_INTERPRETERS: usize = 64;
/// Types of one `tp_mro`, at most.
const MAX_MRO: u64 = 1024;
/// Steps up `tp_base` to find out what an object is.
const MAX_BASES: usize = 64;
/// `staticmethod(classmethod(…))` is followed this deep.
const MAX_WRAPPERS: usize = 4;

/// The type of Cython's functions, by name.
const CYTHON_FUNCTION: &str = "cython_function_or_method";

/// What an object is to the walk, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    Type,
    /// `builtin_function_or_method`, also with a defining class.
    Function,
    /// Cython's own type of functions.
    CythonFunction,
    /// A method descriptor.
    Method,
    /// A wrapper descriptor.
    Slot,
    /// `staticmethod` or `classmethod`.
    Wrapper,
    Other,
}

/// Where a walk ends, whatever it is told is still there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub deadline: Instant,
    pub objects: usize,
    pub functions: usize,
    /// Types whose names are kept.
    pub types: usize,
    /// Bytes of all names together.
    pub name_bytes: usize,
}

/// A namespace still to be looked at.
enum Work {
    /// A dict of a module, and the module's name.
    Module(u64, Rc<str>),
    Type(u64),
}

pub(super) struct Walk<'a, M> {
    pub(super) interpreter: &'a Interpreter,
    pub(super) objects: Objects<'a, M>,
    pub(super) known: KnownObjects,
    pub(super) descriptors: Descriptors,
    bounds: Bounds,
    work: Vec<Work>,
    /// Dicts and types that were or will be looked at.
    seen: HashSet<u64>,
    kinds: HashMap<u64, Kind>,
    /// `None`: it has none that can be read.
    type_names: HashMap<u64, Option<Rc<TypeName>>>,
    pub(super) visited: usize,
    name_bytes: usize,
    pub found: Vec<Found>,
    pub types: Vec<(TypeRef, Arc<str>)>,
    pub cut: Option<&'static str>,
}

impl<'a, M: ReadMemory> Walk<'a, M> {
    pub(super) fn new(interpreter: &'a Interpreter, memory: &'a M, bounds: Bounds) -> Self {
        Self {
            interpreter,
            objects: interpreter.objects(memory),
            known: interpreter.known(),
            descriptors: interpreter.descriptors(),
            bounds,
            work: Vec::new(),
            seen: HashSet::new(),
            kinds: HashMap::new(),
            type_names: HashMap::new(),
            visited: 0,
            name_bytes: 0,
            found: Vec::new(),
            types: Vec::new(),
            cut: None,
        }
    }

    /// Walks until nothing new comes or a bound is reached. An error only where even
    /// the main interpreter's `sys.modules` cannot be read.
    pub(super) fn run(&mut self) -> Result<(), ObjectError> {
        let main = self.interpreter.main_interpreter();
        self.modules(main)?;
        let all = self
            .interpreter
            .interpreters(self.objects.memory, MAX_INTERPRETERS);
        for interp in all.into_iter().filter(|interp| *interp != main) {
            // A subinterpreter may be starting or ending.
            let _ = self.modules(interp);
        }
        self.add_type(self.known.object_type);
        while let Some(work) = self.work.pop() {
            if !self.goes_on() {
                break;
            }
            match work {
                Work::Module(dict, name) => self.namespace(dict, None, |_| Some(name.to_string())),
                Work::Type(ty) => self.type_object(ty),
            }
        }
        Ok(())
    }

    /// Queues the modules of one interpreter's `sys.modules`.
    fn modules(&mut self, interp: u64) -> Result<(), ObjectError> {
        let user = &self.interpreter.layout().user;
        let modules = self.objects.user_field(interp, user.interp_modules)?;
        for (key, module) in self.objects.dict(modules)? {
            if !self.goes_on() {
                break;
            }
            if self.kind(module) == Kind::Module
                && let Ok(name) = self.objects.string(key, MAX_NAME)
            {
                self.add_module(module, name.into());
            }
        }
        Ok(())
    }

    fn add_module(&mut self, module: u64, name: Rc<str>) {
        let md_dict = self.interpreter.layout().offsets.md_dict;
        if let Ok(dict) = self.objects.field(module, md_dict)
            && self.seen.insert(dict)
        {
            self.name_bytes += name.len();
            self.work.push(Work::Module(dict, name));
        }
    }

    fn add_type(&mut self, ty: u64) {
        if ty != 0 && !self.seen.contains(&ty) && self.kind(ty) == Kind::Type {
            self.seen.insert(ty);
            self.work.push(Work::Type(ty));
        }
    }

    /// Looks at every value of a dict, which may be that of a type. `owner` gives the name of its module or
    /// type once a function is found there.
    fn namespace(&mut self, dict: u64, ty: Option<u64>, owner: impl Fn(&mut Self) -> Option<String>) {
        let Ok(items) = self.objects.dict(dict) else {
            return;
        };
        for (key, value) in items {
            if !self.goes_on() {
                return;
            }
            let function = match self.kind(value) {
                Kind::Other => continue,
                Kind::Type => {
                    self.add_type(value);
                    continue;
                }
                Kind::Module => {
                    self.add_nameless_module(value);
                    continue;
                }
                Kind::Function => self.function(value),
                Kind::CythonFunction => self.cython_function(value, key, ty),
                Kind::Method => self.method(value),
                Kind::Slot => self.slot(value),
                Kind::Wrapper => self.wrapped(value, MAX_WRAPPERS),
            };
            // An object that cannot be read is on its way out.
            let (Ok(function), Some(owner)) = (function, owner(self)) else {
                continue;
            };
            if let Ok(key) = self.objects.string(key, MAX_NAME) {
                self.of_constructor(&function);
                self.push(function, format!("{owner}.{key}"));
            }
        }
    }

    pub(super) fn push(&mut self, mut function: Found, reached: String) {
        function.reached = reached;
        self.name_bytes += function.reached.len() + function.module.len() + function.qualname.len();
        self.found.push(function);
    }

    /// A module that a namespace holds and `sys.modules` may not.
    fn add_nameless_module(&mut self, module: u64) {
        if let Ok(name) = self.objects.module_name(module) {
            self.add_module(module, name.into());
        }
    }

    fn type_object(&mut self, ty: u64) {
        if self.types.len() < self.bounds.types
            && let Ok(fingerprint) = type_fingerprint(&self.objects, ty)
            && let Ok(name) = self.type_name(ty)
        {
            let reference = TypeRef {
                address: ty,
                fingerprint,
            };
            let name = name.to_string();
            self.name_bytes += name.len();
            self.types.push((reference, name.into()));
        }
        if let Ok(dict) = self.objects.type_dict(ty) {
            self.namespace(dict, Some(ty), |walk| {
                walk.type_name(ty).ok().map(|name| name.to_string())
            });
        }
        for function in [self.fast_constructor(ty), self.destructor(ty)] {
            let Ok(function) = function else { continue };
            let reached = format!("{}.{}", function.module, function.qualname);
            self.push(function, reached);
        }
        let layout = self.interpreter.layout();
        let related = [
            self.objects.type_of(ty),
            self.objects.field(ty, layout.offsets.tp_base),
        ];
        for related in related.into_iter().flatten() {
            self.add_type(related);
        }
        let mro = self
            .objects
            .user_field(ty, layout.user.tp_mro)
            .and_then(|mro| self.objects.tuple(mro, MAX_MRO));
        for base in mro.unwrap_or_default() {
            if !self.goes_on() {
                return;
            }
            self.add_type(base);
        }
        for reference in self.subclasses(ty).unwrap_or_default() {
            if !self.goes_on() {
                return;
            }
            if let Ok(subclass) = self.objects.user_field(reference, layout.user.wr_object) {
                self.add_type(subclass);
            }
        }
    }

    /// The weak references to a type's subclasses: a dict's values, or a list (Python 2).
    fn subclasses(&self, ty: u64) -> Result<Vec<u64>, ObjectError> {
        let subclasses = self.objects.type_subclasses(ty)?;
        if self.objects.layout.is_python2() {
            return self.objects.list(subclasses, MAX_OBJECTS as u64);
        }
        let pairs = self.objects.dict(subclasses)?;
        Ok(pairs.into_iter().map(|(_, reference)| reference).collect())
    }

    /// Counts an object against the bounds.
    fn goes_on(&mut self) -> bool {
        if self.cut.is_some() {
            return false;
        }
        self.visited += 1;
        if self.visited > self.bounds.objects {
            self.cut = Some("too many objects");
        } else if self.found.len() >= self.bounds.functions || self.name_bytes > self.bounds.name_bytes {
            self.cut = Some("too many functions");
        } else if Instant::now() > self.bounds.deadline {
            // Looked at each time: one object may have a name that is looked for among a million.
            self.cut = Some("it took too long");
        }
        self.cut.is_none()
    }

    pub(super) fn kind(&mut self, object: u64) -> Kind {
        let Ok(ty) = self.objects.type_of(object) else {
            return Kind::Other;
        };
        match self.kinds.get(&ty) {
            Some(kind) => *kind,
            None => {
                let kind = self.kind_of_type(ty);
                self.kinds.insert(ty, kind);
                kind
            }
        }
    }

    fn kind_of_type(&self, ty: u64) -> Kind {
        let (known, descriptors) = (&self.known, &self.descriptors);
        if ty == known.cfunction_type || ty == known.cmethod_type {
            return Kind::Function;
        }
        if ty == descriptors.method || ty == descriptors.class_method {
            return Kind::Method;
        }
        if ty == descriptors.slot {
            return Kind::Slot;
        }
        if ty == descriptors.staticmethod || ty == descriptors.classmethod {
            return Kind::Wrapper;
        }
        if self
            .objects
            .flags(ty)
            .is_ok_and(|flags| flags & tp_flags::TYPE_SUBCLASS != 0)
        {
            return Kind::Type;
        }
        // Each version of Cython has a type of its own, so only the name tells it.
        if let Ok(name) = self.objects.type_name(ty)
            && name.qualname == CYTHON_FUNCTION
        {
            return Kind::CythonFunction;
        }
        let tp_base = self.interpreter.layout().offsets.tp_base;
        let mut base = ty;
        for _ in 0..MAX_BASES {
            match base {
                0 => return Kind::Other,
                _ if base == known.module_type => return Kind::Module,
                _ => base = self.objects.field(base, tp_base).unwrap_or(0),
            }
        }
        Kind::Other
    }

    pub(super) fn type_name(&mut self, ty: u64) -> Result<Rc<TypeName>, ObjectError> {
        const NAMELESS: ObjectError = ObjectError::Absent("name of that type");
        if let Some(name) = self.type_names.get(&ty) {
            return name.clone().ok_or(NAMELESS);
        }
        let name = self.objects.type_name(ty).ok().map(Rc::new);
        self.name_bytes += name
            .as_ref()
            .map_or(0, |name| name.module.len() + name.qualname.len());
        self.type_names.insert(ty, name.clone());
        name.ok_or(NAMELESS)
    }

    /// What is kept of names, counted anew.
    #[cfg(any(test, fuzzing))]
    pub(super) fn kept_name_bytes(&self) -> usize {
        let work = self.work.iter().map(|work| match work {
            Work::Module(_, name) => name.len(),
            Work::Type(_) => 0,
        });
        let types = self.type_names.values().flatten();
        let found = self.found.iter();
        work.sum::<usize>()
            + types
                .map(|name| name.module.len() + name.qualname.len())
                .sum::<usize>()
            + found
                .map(|found| found.reached.len() + found.module.len() + found.qualname.len())
                .sum::<usize>()
            + self.types.iter().map(|(_, name)| name.len()).sum::<usize>()
    }
}
