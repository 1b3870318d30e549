//! Reading Python objects out of a process's memory, as far as finding functions and names
//! needs it. What is read may be garbage or made to harm: every length has a bound, and
//! nothing is followed without one.

use tracer_common::target::ABSENT as ABSENT16;

use super::layout::{ABSENT, Layout};
use crate::process::{ReadError, ReadMemory};

/// Characters of a name at most (qualified names, file names, module names).
pub const MAX_NAME: u64 = 4096;
/// Entries of one dict at most.
const MAX_DICT_ENTRIES: u64 = 1 << 20;

/// `Py_TPFLAGS_*`, Include/object.h.
pub mod tp_flags {
    /// `_Py_TPFLAGS_STATIC_BUILTIN` (3.12+).
    pub const STATIC_BUILTIN: u64 = 1 << 1;
    pub const HEAPTYPE: u64 = 1 << 9;
    pub const LONG_SUBCLASS: u64 = 1 << 24;
    pub const TUPLE_SUBCLASS: u64 = 1 << 26;
    pub const UNICODE_SUBCLASS: u64 = 1 << 28;
    pub const DICT_SUBCLASS: u64 = 1 << 29;
    pub const TYPE_SUBCLASS: u64 = 1 << 31;
}

/// Why an object makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the object at {addr:#x} is not a sound {what}")]
    Malformed { what: &'static str, addr: u64 },
    #[error("this CPython version has no {0}")]
    Absent(&'static str),
}

type Result<T> = std::result::Result<T, ObjectError>;

/// A view of the objects in some memory by a layout.
pub struct Objects<'a, M> {
    pub memory: &'a M,
    pub layout: &'a Layout,
    /// `PyInterpreterState` whose dicts the static builtin types use; 0: unknown.
    pub interp: u64,
}

impl<M: ReadMemory> Objects<'_, M> {
    /// The pointer in a field of the kernel half's table.
    pub fn field(&self, object: u64, offset: u16) -> Result<u64> {
        match offset {
            ABSENT16 => Err(ObjectError::Absent("such field")),
            _ => Ok(self.memory.read_u64(object.wrapping_add(offset.into()))?),
        }
    }

    /// The pointer in a field of the user half's table.
    pub fn user_field(&self, object: u64, offset: u32) -> Result<u64> {
        match offset {
            ABSENT => Err(ObjectError::Absent("such field")),
            _ => Ok(self.memory.read_u64(object.wrapping_add(offset.into()))?),
        }
    }

    /// `Py_TYPE(object)`.
    pub fn type_of(&self, object: u64) -> Result<u64> {
        self.field(object, self.layout.offsets.ob_type)
    }

    /// `type->tp_flags`.
    pub fn flags(&self, ty: u64) -> Result<u64> {
        self.field(ty, self.layout.offsets.tp_flags)
    }

    /// Has the object's type one of the flags (`PyType_FastSubclass`)?
    pub fn is(&self, object: u64, flag: u64) -> bool {
        object != 0
            && self
                .type_of(object)
                .and_then(|ty| self.flags(ty))
                .is_ok_and(|flags| flags & flag != 0)
    }

    /// A `str` of at most `max` characters. `state` is `interned:2 kind:3 compact:1 ascii:1` in
    /// 3.11 to 3.13 (Include/cpython/unicodeobject.h). Lone surrogates become U+FFFD.
    pub fn string(&self, object: u64, max: u64) -> Result<String> {
        let malformed = ObjectError::Malformed {
            what: "str",
            addr: object,
        };
        let offsets = &self.layout.offsets;
        if !self.is(object, tp_flags::UNICODE_SUBCLASS) {
            return Err(malformed);
        }
        let length = self.field(object, offsets.unicode_length)?;
        let state = self.memory.read_u32(object + u64::from(offsets.unicode_state))?;
        let (kind, compact, ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
        if length > max || !matches!(kind, 1 | 2 | 4) {
            return Err(malformed);
        }
        let data = match (compact, ascii) {
            (true, true) => object + u64::from(offsets.unicode_ascii_data),
            (true, false) => object + u64::from(offsets.unicode_compact_data),
            (false, _) => self.field(object, offsets.unicode_any)?,
        };
        let bytes = self.memory.read_bytes(data, length as usize * kind as usize)?;
        let characters = bytes.chunks_exact(kind as usize).map(|bytes| {
            let code = bytes
                .iter()
                .rev()
                .fold(0, |code, byte| code << 8 | u32::from(*byte));
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        });
        Ok(characters.collect())
    }

    /// The data of a `bytes`, at most `max` of them.
    pub fn bytes(&self, object: u64, max: u64) -> Result<Vec<u8>> {
        let len = self.field(object, self.layout.offsets.ob_size)?;
        if len > max {
            return Err(ObjectError::Malformed {
                what: "bytes",
                addr: object,
            });
        }
        let data = object + u64::from(self.layout.offsets.ob_sval);
        Ok(self.memory.read_bytes(data, len as usize)?)
    }

    /// A non-negative `int` of one digit (below 2^30).
    pub fn small_int(&self, object: u64) -> Result<u32> {
        let malformed = ObjectError::Malformed {
            what: "small int",
            addr: object,
        };
        if !self.is(object, tp_flags::LONG_SUBCLASS) {
            return Err(malformed);
        }
        let size = self.field(object, self.layout.offsets.long_size)?;
        // 3.12+: lv_tag is digits << 3 | sign (0 positive); before: ob_size is the digits.
        let one_digit = if self.layout.long_tag() { 1 << 3 } else { 1 };
        if size != one_digit {
            return Err(malformed);
        }
        let digits = object + u64::from(self.layout.offsets.long_digits);
        Ok(self.memory.read_u32(digits)?)
    }

    /// The entries of a dict, in insertion order: key and value addresses.
    /// Layout: Objects/dictobject.c and Include/internal/pycore_dict.h.
    pub fn dict(&self, object: u64) -> Result<Vec<(u64, u64)>> {
        let malformed = ObjectError::Malformed {
            what: "dict",
            addr: object,
        };
        if !self.is(object, tp_flags::DICT_SUBCLASS) {
            return Err(malformed);
        }
        let offsets = &self.layout.offsets;
        let keys = self.field(object, offsets.ma_keys)?;
        let values = self.field(object, offsets.ma_values)?;
        let log2_size = self
            .memory
            .read_u8(keys.wrapping_add(offsets.dk_log2_size.into()))?;
        let log2_index_bytes = self
            .memory
            .read_u8(keys.wrapping_add(offsets.dk_log2_index_bytes.into()))?;
        let kind = self.memory.read_u8(keys.wrapping_add(offsets.dk_kind.into()))?;
        let count = self.field(keys, offsets.dk_nentries)?;
        if log2_size > 32 || log2_index_bytes > 35 || count > MAX_DICT_ENTRIES || count > 1 << log2_size {
            return Err(malformed);
        }
        let entries = keys
            .wrapping_add(offsets.dk_indices.into())
            .wrapping_add(1 << log2_index_bytes);
        // 0: hash, key, value; 1: key, value; 2: key, value with the values elsewhere.
        let words = match kind {
            0 => 3,
            1 | 2 => 2,
            _ => return Err(malformed),
        };
        let bytes = self.memory.read_bytes(entries, count as usize * words * 8)?;
        let mut pairs: Vec<(u64, u64)> = bytes
            .chunks_exact(words * 8)
            .map(|entry| (word(entry, words - 2), word(entry, words - 1)))
            .collect();
        if values != 0 {
            let values = values.wrapping_add(offsets.dictvalues_values.into());
            let bytes = self.memory.read_bytes(values, pairs.len() * 8)?;
            for (pair, value) in pairs.iter_mut().zip(bytes.chunks_exact(8)) {
                pair.1 = word(value, 0);
            }
        }
        pairs.retain(|(key, value)| *key != 0 && *value != 0);
        Ok(pairs)
    }

    /// The value under a `str` key.
    pub fn dict_get(&self, dict: u64, name: &str) -> Result<Option<u64>> {
        let pairs = self.dict(dict)?;
        let found = pairs
            .into_iter()
            .find(|(key, _)| self.string(*key, MAX_NAME).is_ok_and(|key| key == name));
        Ok(found.map(|(_, value)| value))
    }

    /// The items of a tuple, at most `max`.
    pub fn tuple(&self, object: u64, max: u64) -> Result<Vec<u64>> {
        let malformed = ObjectError::Malformed {
            what: "tuple",
            addr: object,
        };
        if !self.is(object, tp_flags::TUPLE_SUBCLASS) {
            return Err(malformed);
        }
        let len = self.field(object, self.layout.offsets.ob_size)?;
        if len > max {
            return Err(malformed);
        }
        let items = object + u64::from(self.layout.offsets.tuple_ob_item);
        let bytes = self.memory.read_bytes(items, len as usize * 8)?;
        Ok(bytes.chunks_exact(8).map(|item| word(item, 0)).collect())
    }

    /// A type's own dict (`lookup_tp_dict`, Objects/typeobject.c).
    pub fn type_dict(&self, ty: u64) -> Result<u64> {
        match self.static_type_state(ty)? {
            Some(state) => self.user_field(state, self.layout.user.static_type_state_dict),
            None => self.user_field(ty, self.layout.user.tp_dict),
        }
    }

    /// A type's `tp_subclasses` dict of weak references (`lookup_tp_subclasses`); 0: none.
    pub fn type_subclasses(&self, ty: u64) -> Result<u64> {
        match self.static_type_state(ty)? {
            Some(state) => self.user_field(state, self.layout.user.static_type_state_subclasses),
            None => self.user_field(ty, self.layout.user.tp_subclasses),
        }
    }

    /// Where a static builtin type keeps its per-interpreter state (3.12+); `None` for other types.
    /// `managed_static_type_state_get`, Objects/typeobject.c: the field `tp_subclasses` holds the
    /// state's index plus 1, and the state points back to its type.
    fn static_type_state(&self, ty: u64) -> Result<Option<u64>> {
        let user = &self.layout.user;
        if user.interp_builtin_types == ABSENT || self.flags(ty)? & tp_flags::STATIC_BUILTIN == 0 {
            return Ok(None);
        }
        let index = self.user_field(ty, user.tp_subclasses)?.wrapping_sub(1);
        for table in [user.interp_builtin_types, user.interp_extension_types] {
            if table == ABSENT || index > 1024 {
                continue;
            }
            let state = self
                .interp
                .wrapping_add(table.into())
                .wrapping_add(index * u64::from(user.static_type_state_size));
            if self.user_field(state, user.static_type_state_type) == Ok(ty) {
                return Ok(Some(state));
            }
        }
        Err(ObjectError::Malformed {
            what: "static type",
            addr: ty,
        })
    }

    /// Module and qualified name of a type, as `type.__module__` and `type.__qualname__` give them
    /// (`type_module` and `type_qualname`, Objects/typeobject.c).
    pub fn type_name(&self, ty: u64) -> Result<TypeName> {
        if !self.is(ty, tp_flags::TYPE_SUBCLASS) {
            return Err(ObjectError::Malformed {
                what: "type",
                addr: ty,
            });
        }
        if self.flags(ty)? & tp_flags::HEAPTYPE != 0 {
            let qualname = self.user_field(ty, self.layout.user.ht_qualname)?;
            let module = self
                .dict_get(self.type_dict(ty)?, "__module__")?
                .and_then(|module| self.string(module, MAX_NAME).ok());
            return Ok(TypeName {
                module: module.unwrap_or_else(|| "builtins".to_owned()),
                qualname: self.string(qualname, MAX_NAME)?,
            });
        }
        let name = self.tp_name(ty)?;
        let (module, qualname) = name.rsplit_once('.').unwrap_or(("builtins", &name));
        Ok(TypeName {
            module: module.to_owned(),
            qualname: qualname.to_owned(),
        })
    }

    /// `type->tp_name`.
    pub fn tp_name(&self, ty: u64) -> Result<String> {
        let name = self.field(ty, self.layout.offsets.tp_name)?;
        let name = self.memory.read_cstr(name, MAX_NAME as usize)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }
}

fn word(bytes: &[u8], n: usize) -> u64 {
    bytes
        .get(n * 8..n * 8 + 8)
        .and_then(|word| word.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// What a type is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeName {
    pub module: String,
    pub qualname: String,
}

impl std::fmt::Display for TypeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.qualname)
    }
}
