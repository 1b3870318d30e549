//! From an object in a namespace to the C functions behind it, with the names that Python gives them.

use tracer_common::cookie::SelfKind;

use super::function::{Called, Found, Rank, meth};
use super::slots;
use super::walk::{Kind, Walk};
use crate::cpython::objects::{MAX_NAME, ObjectError};
use crate::process::ReadMemory;

impl<M: ReadMemory> Walk<'_, M> {
    /// A `PyCFunctionObject`: named as `meth_get__qualname__` and `__module__` have it
    /// (Objects/methodobject.c).
    pub(super) fn function(&mut self, object: u64) -> Result<Found, ObjectError> {
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
    pub(super) fn cython_function(
        &mut self,
        object: u64,
        key: u64,
        ty: Option<u64>,
    ) -> Result<Found, ObjectError> {
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
    pub(super) fn method(&mut self, object: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let m_ml = self.objects.user_field(object, user.d_method)?;
        let owner = self.objects.user_field(object, user.d_type)?;
        let found = self.method_def(m_ml, String::new(), self.ml_name(m_ml)?)?;
        self.of_type(found, owner, Rank::Definition)
    }

    /// A `PyWrapperDescrObject`: named after the type that defines it. Only types made in C have them;
    /// the functions that fill the slots of Python's own classes are reached by none.
    pub(super) fn slot(&mut self, object: u64) -> Result<Found, ObjectError> {
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
    pub(super) fn fast_constructor(&mut self, ty: u64) -> Result<Found, ObjectError> {
        let user = &self.interpreter.layout().user;
        let found = Found {
            ml_meth: self.objects.user_field(ty, user.tp_vectorcall)?,
            called: Called::Slot(Some(slots::TP_VECTORCALL)),
            self_kind: SelfKind::Type,
            ..nameless(String::new())
        };
        self.of_type(found, ty, Rank::Definition)
    }

    /// What ends a Python 2 `file`, and writes what is still in its buffer: C code that calls no method, unlike the
    /// destructors of `_io`, which call `close`.
    pub(super) fn destructor(&mut self, ty: u64) -> Result<Found, ObjectError> {
        let name = self.type_name(ty)?;
        if (name.module.as_str(), name.qualname.as_str()) != ("__builtin__", "file") {
            return Err(ObjectError::Absent("destructor that does anything there"));
        }
        let user = &self.interpreter.layout().user;
        let found = Found {
            ml_meth: self.objects.user_field(ty, user.tp_dealloc)?,
            called: Called::Slot(Some(slots::TP_DEALLOC)),
            ..nameless("__del__".to_owned())
        };
        self.of_type(found, ty, Rank::Definition)
    }

    /// Whoever names a type means its constructor: a `tp_init` goes by the type's name too.
    pub(super) fn of_constructor(&mut self, function: &Found) {
        if let (Called::Slot(_), Some(ty)) = (function.called, function.qualname.strip_suffix(".__init__")) {
            self.push(function.clone(), format!("{}.{ty}", function.module));
        }
    }

    /// What a `staticmethod` or `classmethod` object wraps.
    pub(super) fn wrapped(&mut self, object: u64, depth: usize) -> Result<Found, ObjectError> {
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
