//! The walk over modules and types.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Instant;

use tracer_common::cookie::SelfKind;
use tracer_common::target::KnownObjects;

use super::function::{Called, Found, Rank, meth};
use super::slots;
use super::{MAX_FUNCTIONS, MAX_OBJECTS};
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
/// Bytes of all names together.
const MAX_NAME_BYTES: usize = 64 * 1024 * 1024;
/// Objects between two looks at the clock.
const CLOCK_EVERY: usize = 1024;

/// The type of Cython's functions, by name.
const CYTHON_FUNCTION: &str = "cython_function_or_method";

/// What an object is to the walk, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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

/// A namespace still to be looked at.
enum Work {
    /// A dict of a module, and the module's name.
    Module(u64, Rc<str>),
    Type(u64),
}

pub(super) struct Walk<'a, M> {
    interpreter: &'a Interpreter,
    objects: Objects<'a, M>,
    known: KnownObjects,
    descriptors: Descriptors,
    deadline: Instant,
    work: Vec<Work>,
    /// Dicts and types that were or will be looked at.
    seen: HashSet<u64>,
    kinds: HashMap<u64, Kind>,
    type_names: HashMap<u64, Rc<TypeName>>,
    visited: usize,
    name_bytes: usize,
    pub found: Vec<Found>,
    pub cut: Option<&'static str>,
}

impl<'a, M: ReadMemory> Walk<'a, M> {
    pub(super) fn new(interpreter: &'a Interpreter, memory: &'a M, deadline: Instant) -> Self {
        Self {
            interpreter,
            objects: interpreter.objects(memory),
            known: interpreter.known(),
            descriptors: interpreter.descriptors(),
            deadline,
            work: Vec::new(),
            seen: HashSet::new(),
            kinds: HashMap::new(),
            type_names: HashMap::new(),
            visited: 0,
            name_bytes: 0,
            found: Vec::new(),
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
            if Instant::now() > self.deadline {
                self.cut = Some("it took too long");
            }
            if self.cut.is_some() {
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
                self.hidden_slot(&function);
                self.of_constructor(&function);
                self.push(function, format!("{owner}.{key}"));
            }
        }
    }

    fn push(&mut self, mut function: Found, reached: String) {
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
        if let Ok(dict) = self.objects.type_dict(ty) {
            self.namespace(dict, Some(ty), |walk| {
                walk.type_name(ty).ok().map(|name| name.to_string())
            });
        }
        if let Ok(function) = self.fast_constructor(ty) {
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
        self.visited += 1;
        if self.visited > MAX_OBJECTS {
            self.cut = Some("too many objects");
        } else if self.found.len() >= MAX_FUNCTIONS || self.name_bytes > MAX_NAME_BYTES {
            self.cut = Some("too many functions");
        } else if self.visited.is_multiple_of(CLOCK_EVERY) && Instant::now() > self.deadline {
            self.cut = Some("it took too long");
        }
        self.cut.is_none()
    }

    fn kind(&mut self, object: u64) -> Kind {
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

    fn type_name(&mut self, ty: u64) -> Result<Rc<TypeName>, ObjectError> {
        if let Some(name) = self.type_names.get(&ty) {
            return Ok(name.clone());
        }
        let name = Rc::new(self.objects.type_name(ty)?);
        self.type_names.insert(ty, name.clone());
        Ok(name)
    }

    /// A `PyCFunctionObject`: named as `meth_get__qualname__` and `__module__` have it
    /// (Objects/methodobject.c).
    fn function(&mut self, object: u64) -> Result<Found, ObjectError> {
        let layout = self.interpreter.layout();
        let offsets = &layout.offsets;
        let m_ml = self.objects.field(object, offsets.m_ml)?;
        let m_self = self.objects.field(object, offsets.m_self)?;
        let m_module = self.objects.field(object, offsets.m_module)?;
        if self.objects.user_field(m_ml, layout.user.ml_meth)? == self.descriptors.new_wrapper {
            return self.constructor(m_self);
        }
        let name = self.ml_name(m_ml)?;
        if m_self == 0 || self.kind(m_self) == Kind::Module {
            let module = self
                .objects
                .string(m_module, MAX_NAME)
                .or_else(|_| self.objects.module_name(m_self))
                // What Python shows for a function without a module.
                .unwrap_or_else(|_| "None".to_owned());
            return self.method_def(m_ml, module, name);
        }
        let (owner, rank) = match self.kind(m_self) {
            Kind::Type => (m_self, Rank::OfType),
            _ => (self.objects.type_of(m_self)?, Rank::Bound),
        };
        let found = self.method_def(m_ml, String::new(), name)?;
        self.of_type(found, owner, rank)
    }

    /// A function made by Cython, under `key` in a module or in the dict of a type. The object begins with a
    /// `PyCFunctionObject`, and its C function is called as that of one is, but with itself as `self` where it
    /// is no method (`__Pyx_CyFunction_Init` and `__Pyx_CyFunction_Vectorcall_*`, Cython/Utility/CythonFunction.c,
    /// 3.0). What does not look so is left out.
    fn cython_function(&mut self, object: u64, key: u64, ty: Option<u64>) -> Result<Found, ObjectError> {
        let offsets = &self.interpreter.layout().offsets;
        let m_ml = self.objects.field(object, offsets.m_ml)?;
        let m_self = self.objects.field(object, offsets.m_self)?;
        let m_module = self.objects.field(object, offsets.m_module)?;
        let name = self.ml_name(m_ml)?;
        if m_self != object || self.objects.string(key, MAX_NAME)? != name {
            return Err(ObjectError::Absent("function of Cython there"));
        }
        let module = self.objects.string(m_module, MAX_NAME)?;
        let found = self.method_def(m_ml, module, name)?;
        match ty {
            Some(ty) => self.of_type(found, ty, Rank::Definition),
            None => Ok(found),
        }
    }

    /// A `PyMethodDescrObject`: named after the type that defines it.
    fn method(&mut self, object: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let m_ml = self.objects.user_field(object, user.d_method)?;
        let owner = self.objects.user_field(object, user.d_type)?;
        let found = self.method_def(m_ml, String::new(), self.ml_name(m_ml)?)?;
        self.of_type(found, owner, Rank::Definition)
    }

    /// A `PyWrapperDescrObject`: named after the type that defines it. Only types made in C have them;
    /// the functions that fill the slots of Python's own classes are reached by none.
    fn slot(&mut self, object: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let owner = self.objects.user_field(object, user.d_type)?;
        let base = self.objects.user_field(object, user.d_base)?;
        let name = self.objects.user_field(base, user.wrapper_name)?;
        let name = self.objects.memory.read_cstr(name, MAX_NAME as usize)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let offset = base.wrapping_add(user.wrapper_offset.into());
        let place = self
            .objects
            .memory
            .read_u32(offset)?
            .wrapping_sub(user.ht_as_sequence);
        let found = Found {
            definition: base,
            ml_meth: self.objects.user_field(object, user.d_wrapped)?,
            called: Called::Slot(slots::signature(&name, place < user.sequence_methods_size)),
            ..nameless(name)
        };
        self.of_type(found, owner, Rank::Definition)
    }

    /// `tp_new` of the type that a `__new__` is bound to. Where the type's instances are initialised by
    /// `tp_init`, that does the work, and is the constructor.
    fn constructor(&mut self, ty: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let tp_init = |ty| self.objects.user_field(ty, user.tp_init);
        let initialised = tp_init(ty)? != tp_init(self.known.object_type)?;
        let found = Found {
            ml_meth: self.objects.user_field(ty, user.tp_new)?,
            called: Called::Slot(Some(slots::TP_NEW)),
            self_kind: if initialised {
                SelfKind::Bound
            } else {
                SelfKind::Type
            },
            ..nameless(if initialised { "__new__" } else { "" }.to_owned())
        };
        self.of_type(found, ty, Rank::Definition)
    }

    /// `tp_vectorcall`, which Python calls in place of `tp_new` and `tp_init` where a type has it.
    fn fast_constructor(&mut self, ty: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let found = Found {
            ml_meth: self.objects.user_field(ty, user.tp_vectorcall)?,
            called: Called::Slot(Some(slots::TP_VECTORCALL)),
            self_kind: SelfKind::Type,
            ..nameless(String::new())
        };
        self.of_type(found, ty, Rank::Definition)
    }

    /// Whoever names a type means its constructor: a `tp_init` goes by the type's name too.
    fn of_constructor(&mut self, function: &Found) {
        if let (Called::Slot(_), Some(ty)) = (function.called, function.qualname.strip_suffix(".__init__")) {
            self.push(function.clone(), format!("{}.{ty}", function.module));
        }
    }

    /// What goes with a function and has no entry of its own in the type's dict.
    fn hidden_slot(&mut self, function: &Found) {
        if !matches!(function.called, Called::Method(_)) || !function.qualname.ends_with(".__contains__") {
            return;
        }
        // The operator `in` calls the slot, though a method of that name hides its wrapper.
        let user = &self.interpreter.layout().user;
        let slot = self
            .objects
            .user_field(function.owner, user.tp_as_sequence)
            .and_then(|methods| self.objects.user_field(methods, user.sq_contains));
        if let Ok(slot) = slot
            && slot != 0
            && slot != function.ml_meth
        {
            let found = Found {
                definition: 0,
                ml_meth: slot,
                called: Called::Slot(slots::signature("__contains__", false)),
                self_kind: SelfKind::Bound,
                ..function.clone()
            };
            self.push(found, format!("{}.{}", function.module, function.qualname));
        }
    }

    /// What a `staticmethod` or `classmethod` object wraps.
    fn wrapped(&mut self, object: u64, depth: usize) -> Result<Found, ObjectError> {
        let callable = self
            .objects
            .user_field(object, self.interpreter.layout().user.cm_callable)?;
        match self.kind(callable) {
            Kind::Function => self.function(callable),
            Kind::Method => self.method(callable),
            Kind::Wrapper if depth > 0 => self.wrapped(callable, depth - 1),
            _ => Err(ObjectError::Absent("C function there")),
        }
    }

    fn ml_name(&self, m_ml: u64) -> Result<String, ObjectError> {
        let name = self
            .objects
            .user_field(m_ml, self.interpreter.layout().user.ml_name)?;
        let name = self.objects.memory.read_cstr(name, MAX_NAME as usize)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// A function by its `PyMethodDef`; a module's, unless it is given to a type.
    fn method_def(&self, m_ml: u64, module: String, name: String) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let ml_flags = self
            .objects
            .memory
            .read_u32(m_ml.wrapping_add(user.ml_flags.into()))?;
        Ok(Found {
            module,
            definition: m_ml,
            ml_meth: self.objects.user_field(m_ml, user.ml_meth)?,
            called: Called::Method(ml_flags),
            self_kind: SelfKind::Module,
            ..nameless(name)
        })
    }

    /// The function as a type's own.
    fn of_type(&mut self, found: Found, owner: u64, rank: Rank) -> Result<Found, ObjectError> {
        if found.ml_meth == 0 {
            return Err(ObjectError::Absent("such slot"));
        }
        let name = self.type_name(owner)?;
        let tp_mro = self.interpreter.layout().user.tp_mro;
        let depth = self
            .objects
            .user_field(owner, tp_mro)
            .and_then(|mro| self.objects.field(mro, self.interpreter.layout().offsets.ob_size));
        let self_kind = match found.called {
            // A static method's C function gets NULL (PyCFunction_GET_SELF, Include/cpython/methodobject.h).
            Called::Method(ml_flags) if ml_flags & meth::STATIC != 0 => SelfKind::Module,
            Called::Method(_) => SelfKind::Bound,
            Called::Slot(_) => found.self_kind,
        };
        Ok(Found {
            module: name.module.clone(),
            qualname: match found.qualname.as_str() {
                "" => name.qualname.clone(),
                function => format!("{}.{function}", name.qualname),
            },
            rank,
            owner,
            depth: depth.unwrap_or(u64::MAX),
            self_kind,
            ..found
        })
    }
}

/// A slot of no type yet.
fn nameless(qualname: String) -> Found {
    Found {
        module: String::new(),
        qualname,
        rank: Rank::Definition,
        owner: 0,
        depth: 0,
        definition: 0,
        ml_meth: 0,
        called: Called::Slot(None),
        self_kind: SelfKind::Bound,
        reached: String::new(),
    }
}
