//! Qualified names of Python functions up to 3.10, where code objects have none.
//!
//! A function has one (not in Python 2), but a frame does not lead to its function. So the functions of the frame's module are
//! looked through: those in its dict, in its classes, behind wrappers; and the code objects among the constants of each, which
//! are those of its inner functions and classes.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use tracer_common::target::ABSENT as ABSENT16;

use super::layout::ABSENT;
use super::objects::{MAX_NAME, ObjectError, Objects, tp_flags};
use super::{Descriptors, Interpreter};
use crate::process::ReadMemory;

/// Objects looked at for one module.
const MAX_OBJECTS: usize = 100_000;
/// Bytes of all names of one module.
const MAX_NAME_BYTES: usize = 16 * 1024 * 1024;
/// Classes inside classes, and functions inside functions.
const MAX_DEPTH: u32 = 32;
/// Constants of a code object, and cells of a function.
const MAX_ITEMS: u64 = 64 * 1024;
/// `CO_OPTIMIZED | CO_NEWLOCALS` (Include/code.h): both are set in functions; the body of a class has neither or one.
const FUNCTION: u32 = 3;

/// The names, by the address of the code object; those that are found until the deadline.
pub(super) fn of_module<M: ReadMemory>(
    objects: &Objects<'_, M>,
    interpreter: &Interpreter,
    globals: u64,
    deadline: Instant,
) -> Result<HashMap<u64, String>, ObjectError> {
    let module = module_name(objects, globals)?.unwrap_or_default();
    let mut look = Look {
        objects,
        interpreter,
        descriptors: interpreter.descriptors(),
        globals,
        module,
        seen: HashSet::new(),
        names: HashMap::new(),
        name_bytes: 0,
        deadline,
    };
    look.dict(globals, "", 0)?;
    Ok(look.names)
}

/// `__name__` in a dict of globals; `None`: they have none, as those of `exec` may.
pub(super) fn module_name<M: ReadMemory>(
    objects: &Objects<'_, M>,
    globals: u64,
) -> Result<Option<String>, ObjectError> {
    match objects.dict_get(globals, "__name__")? {
        Some(name) => objects.string(name, MAX_NAME).map(Some),
        None => Ok(None),
    }
}

struct Look<'a, 'm, M> {
    objects: &'a Objects<'m, M>,
    interpreter: &'a Interpreter,
    descriptors: Descriptors,
    globals: u64,
    module: String,
    seen: HashSet<u64>,
    names: HashMap<u64, String>,
    name_bytes: usize,
    deadline: Instant,
}

impl<M: ReadMemory> Look<'_, '_, M> {
    /// Whether no bound is reached. The same few objects may stand in a dict a million times, so the clock is asked too.
    fn goes_on(&self) -> bool {
        self.seen.len() < MAX_OBJECTS && self.name_bytes < MAX_NAME_BYTES && Instant::now() < self.deadline
    }

    fn name(&mut self, code: u64, qualname: String) {
        self.name_bytes += qualname.len();
        self.names.insert(code, qualname);
    }

    /// The values of a module's or a class's dict; `prefix`: what stands before their names.
    fn dict(&mut self, dict: u64, prefix: &str, depth: u32) -> Result<(), ObjectError> {
        for (key, value) in self.objects.dict(dict)? {
            if !self.goes_on() {
                break;
            }
            let Ok(name) = self.objects.string(key, MAX_NAME) else {
                continue;
            };
            // One that cannot be read is no reason to give up the others.
            let _ = self.value(value, prefix, &name, depth);
        }
        Ok(())
    }

    fn value(&mut self, value: u64, prefix: &str, name: &str, depth: u32) -> Result<(), ObjectError> {
        if depth > MAX_DEPTH || value == 0 || !self.goes_on() || !self.seen.insert(value) {
            return Ok(());
        }
        let ty = self.objects.type_of(value)?;
        let known = self.interpreter.known();
        if ty == known.function_type {
            return self.function(value, prefix, name, depth);
        }
        if self.objects.is(value, tp_flags::TYPE_SUBCLASS) || self.objects.is_old_class(value) {
            return self.class(value, prefix, depth);
        }
        let user = &self.objects.layout.user;
        if ty == self.descriptors.staticmethod || ty == self.descriptors.classmethod {
            let function = self.objects.user_field(value, user.cm_callable)?;
            return self.value(function, prefix, name, depth + 1);
        }
        if ty == self.descriptors.property {
            // Getter, setter, deleter, behind the head as a class method's function is (Objects/descrobject.c).
            for n in 0..3 {
                let function = self
                    .objects
                    .memory
                    .read_u64(value.wrapping_add(u64::from(user.cm_callable) + 8 * n))?;
                self.value(function, prefix, name, depth + 1)?;
            }
        }
        Ok(())
    }

    /// A class of this module.
    fn class(&mut self, class: u64, prefix: &str, depth: u32) -> Result<(), ObjectError> {
        let name = self.objects.type_name(class)?;
        if name.module != self.module {
            return Ok(());
        }
        let qualname = match self.objects.layout.is_python2() {
            true => format!("{prefix}{}", name.qualname),
            false => name.qualname,
        };
        let dict = match self.objects.is_old_class(class) {
            true => self.objects.field(class, self.objects.layout.offsets.cl_dict)?,
            false => self.objects.type_dict(class)?,
        };
        self.dict(dict, &format!("{qualname}."), depth + 1)
    }

    fn function(&mut self, function: u64, prefix: &str, name: &str, depth: u32) -> Result<(), ObjectError> {
        let user = &self.objects.layout.user;
        let offsets = &self.objects.layout.offsets;
        // What a decorator put around it has it in a cell.
        let closure = self.objects.user_field(function, user.func_closure)?;
        if closure != 0 && offsets.cell_ref != ABSENT16 {
            for cell in self.objects.tuple(closure, MAX_ITEMS)? {
                if !self.goes_on() {
                    break;
                }
                let inside = self.objects.field(cell, offsets.cell_ref)?;
                let _ = self.value(inside, prefix, name, depth + 1);
            }
        }
        if self.objects.user_field(function, user.func_globals)? != self.globals {
            return Ok(());
        }
        let code = self.objects.user_field(function, user.func_code)?;
        let qualname = match user.has_qualname() {
            true => self
                .objects
                .string(self.objects.field(function, offsets.func_qualname)?, MAX_NAME)?,
            false => format!("{prefix}{name}"),
        };
        let own = self
            .objects
            .string(self.objects.field(code, offsets.co_qualname)?, MAX_NAME)?;
        // What `functools.wraps` made has the name of what it wraps.
        if qualname.rsplit('.').next() != Some(&own) {
            return Ok(());
        }
        self.inner(code, &format!("{qualname}.<locals>."), depth + 1)?;
        if !self.names.contains_key(&code) {
            self.name(code, qualname);
        }
        Ok(())
    }

    /// The code objects among a code object's constants.
    fn inner(&mut self, code: u64, prefix: &str, depth: u32) -> Result<(), ObjectError> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        let offsets = &self.objects.layout.offsets;
        let constants = self.objects.field(code, offsets.co_consts)?;
        for constant in self.objects.tuple(constants, MAX_ITEMS)? {
            if !self.goes_on() {
                break;
            }
            if self.objects.type_of(constant)? != self.interpreter.known().code_type
                || !self.seen.insert(constant)
            {
                continue;
            }
            let name = self.objects.field(constant, offsets.co_qualname)?;
            let qualname = format!("{prefix}{}", self.objects.string(name, MAX_NAME)?);
            let flags = constant.wrapping_add(offsets.co_flags.into());
            let is_function = self.objects.memory.read_u32(flags)? & FUNCTION == FUNCTION;
            let inside = if is_function { ".<locals>." } else { "." };
            self.inner(constant, &format!("{qualname}{inside}"), depth + 1)?;
            // Better than what its object says, whose name can be changed.
            self.name(constant, qualname);
        }
        Ok(())
    }
}

impl super::layout::UserOffsets {
    /// Whether functions have a `__qualname__`.
    fn has_qualname(&self) -> bool {
        self.func_has_qualname != ABSENT
    }
}
