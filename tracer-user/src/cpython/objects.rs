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
    /// `Py_TPFLAGS_INT_SUBCLASS` of Python 2; the bit has other meanings later.
    pub const INT_SUBCLASS: u64 = 1 << 23;
    pub const LONG_SUBCLASS: u64 = 1 << 24;
    pub const LIST_SUBCLASS: u64 = 1 << 25;
    pub const TUPLE_SUBCLASS: u64 = 1 << 26;
    pub const BYTES_SUBCLASS: u64 = 1 << 27;
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

    /// A `str` of at most `max` characters; in Python 2 also a `unicode`. Lone surrogates become U+FFFD.
    pub fn string(&self, object: u64, max: u64) -> Result<String> {
        if self.layout.is_python2() && self.is(object, tp_flags::BYTES_SUBCLASS) {
            return Ok(String::from_utf8_lossy(&self.bytes(object, max)?).into_owned());
        }
        let malformed = ObjectError::Malformed {
            what: "str",
            addr: object,
        };
        if !self.is(object, tp_flags::UNICODE_SUBCLASS) {
            return Err(malformed);
        }
        let (data, length, width) = self.characters(object)?;
        if length > max || !matches!(width, 1 | 2 | 4) {
            return Err(malformed);
        }
        let bytes = self.memory.read_bytes(data, length as usize * width)?;
        let units = bytes.chunks_exact(width).map(|bytes| {
            let little_endian = bytes.iter().rev();
            little_endian.fold(0, |unit, byte| unit << 8 | u32::from(*byte))
        });
        if width == 2 && self.layout.is_python2() {
            // A narrow build: characters beyond 16 bits are two units.
            return Ok(String::from_utf16_lossy(
                &units.map(|unit| unit as u16).collect::<Vec<_>>(),
            ));
        }
        let characters = units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(characters.collect())
    }

    /// Where a text's characters are, how many there are, and bytes per character. `state` has `kind:3,
    /// compact:1, ascii:1` (Include/cpython/unicodeobject.h); Python 2 has an array of `Py_UNICODE`.
    fn characters(&self, object: u64) -> Result<(u64, u64, usize)> {
        let offsets = &self.layout.offsets;
        let length = self.field(object, offsets.unicode_length)?;
        if offsets.unicode_kind_shift == ABSENT16 {
            let data = self.field(object, offsets.unicode_any)?;
            return Ok((data, length, self.layout.unicode_width as usize));
        }
        let state = self
            .memory
            .read_u32(object.wrapping_add(offsets.unicode_state.into()))?;
        let state = state >> (offsets.unicode_kind_shift & 31);
        let (kind, compact, ascii) = (state & 7, state >> 3 & 1 != 0, state >> 4 & 1 != 0);
        let data = match (compact, ascii) {
            (true, true) => object.wrapping_add(offsets.unicode_ascii_data.into()),
            (true, false) => object.wrapping_add(offsets.unicode_compact_data.into()),
            (false, _) => self.field(object, offsets.unicode_any)?,
        };
        Ok((data, length, kind as usize))
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
        let data = object.wrapping_add(self.layout.offsets.ob_sval.into());
        Ok(self.memory.read_bytes(data, len as usize)?)
    }

    /// A non-negative `int` of one digit (below 2^30).
    pub fn small_int(&self, object: u64) -> Result<u32> {
        let malformed = ObjectError::Malformed {
            what: "small int",
            addr: object,
        };
        if self.layout.is_python2() && self.is(object, tp_flags::INT_SUBCLASS) {
            let value = self.field(object, self.layout.offsets.int_ival)?;
            return u32::try_from(value).map_err(|_| malformed);
        }
        if !self.is(object, tp_flags::LONG_SUBCLASS) {
            return Err(malformed);
        }
        let size = self.field(object, self.layout.offsets.long_size)?;
        // 3.12+: lv_tag is digits << 3, a bit for small ints, sign (0 positive); before: ob_size is the digits.
        let one_digit = if self.layout.long_tag {
            size & !4 == 1 << 3
        } else {
            size == 1
        };
        if !one_digit {
            return Err(malformed);
        }
        let digits = object.wrapping_add(self.layout.offsets.long_digits.into());
        Ok(self.memory.read_u32(digits)?)
    }

    /// The entries of a dict: key and value addresses, in insertion order where the version has one.
    pub fn dict(&self, object: u64) -> Result<Vec<(u64, u64)>> {
        if !self.is(object, tp_flags::DICT_SUBCLASS) {
            return Err(malformed_dict(object));
        }
        let table = self.dict_table(object)?;
        let bytes = self
            .memory
            .read_bytes(table.entries, table.count as usize * table.words * 8)?;
        let mut pairs: Vec<(u64, u64)> = bytes
            .chunks_exact(table.words * 8)
            .map(|entry| (word(entry, table.words - 2), word(entry, table.words - 1)))
            .collect();
        if table.values != 0 {
            let bytes = self.memory.read_bytes(table.values, pairs.len() * 8)?;
            for (pair, value) in pairs.iter_mut().zip(bytes.chunks_exact(8)) {
                pair.1 = word(value, 0);
            }
        }
        pairs.retain(|(key, value)| *key != 0 && *value != 0);
        Ok(pairs)
    }

    /// Where a dict's entries are. Layouts: Objects/dictobject.c; Objects/dict-common.h (3.6 to 3.10);
    /// Include/internal/pycore_dict.h (3.11+); Include/dictobject.h (2.7).
    fn dict_table(&self, object: u64) -> Result<DictTable> {
        let offsets = &self.layout.offsets;
        let bounded = |table: DictTable, room: u64| match table.count {
            count if count <= MAX_DICT_ENTRIES && count <= room => Ok(table),
            _ => Err(malformed_dict(object)),
        };
        if offsets.ma_table != ABSENT16 {
            let count = self.field(object, offsets.ma_mask)?.wrapping_add(1);
            let table = DictTable {
                entries: self.field(object, offsets.ma_table)?,
                count,
                words: 3,
                values: 0,
            };
            return bounded(table, count);
        }
        let keys = self.field(object, offsets.ma_keys)?;
        let mut values = self.field(object, offsets.ma_values)?;
        let (room, index_bytes) = self.dict_index(keys).ok_or(malformed_dict(object))?;
        // 0: hash, key, value (up to 3.10 always); 1: key, value; 2: key, value with the values elsewhere.
        let words = match offsets.dk_kind {
            ABSENT16 => 3,
            dk_kind => match self.memory.read_u8(keys.wrapping_add(dk_kind.into()))? {
                0 => 3,
                1 | 2 => 2,
                _ => return Err(malformed_dict(object)),
            },
        };
        if values != 0 && offsets.dictvalues_values != ABSENT16 {
            values = values.wrapping_add(offsets.dictvalues_values.into());
        }
        let table = DictTable {
            entries: keys
                .wrapping_add(offsets.dk_indices.into())
                .wrapping_add(index_bytes),
            count: self.field(keys, offsets.dk_nentries)?,
            words,
            values,
        };
        bounded(table, room)
    }

    /// How many entries a keys object's index table has, and its bytes.
    fn dict_index(&self, keys: u64) -> Option<(u64, u64)> {
        let offsets = &self.layout.offsets;
        if offsets.dk_size != ABSENT16 {
            // `DK_IXSIZE`.
            let size = self.field(keys, offsets.dk_size).ok()?;
            let width = match size {
                0..=0xff => 1,
                0x100..=0xffff => 2,
                0x1_0000..=0xffff_ffff => 4,
                _ => return None,
            };
            return Some((size, size * width));
        }
        let log2 = |offset: u16| self.memory.read_u8(keys.wrapping_add(offset.into())).ok();
        let (log2_size, log2_bytes) = (log2(offsets.dk_log2_size)?, log2(offsets.dk_log2_index_bytes)?);
        (log2_size <= 32 && log2_bytes <= 35).then(|| (1 << log2_size, 1 << log2_bytes))
    }

    /// The value under a `str` key.
    pub fn dict_get(&self, dict: u64, name: &str) -> Result<Option<u64>> {
        let pairs = self.dict(dict)?;
        // A longer key is another one: of a million long ones only the lengths are read.
        let max = name.len() as u64;
        let found = pairs
            .into_iter()
            .find(|(key, _)| self.string(*key, max).is_ok_and(|key| key == name));
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
        let items = object.wrapping_add(self.layout.offsets.tuple_ob_item.into());
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
            return self.old_class_name(ty);
        }
        if self.flags(ty)? & tp_flags::HEAPTYPE != 0 {
            let qualname = self.user_field(ty, self.layout.user.ht_qualname)?;
            let dict = self.type_dict(ty)?;
            let module = self
                .dict_get(dict, "__module__")?
                .and_then(|module| self.string(module, MAX_NAME).ok());
            // No type is born with an empty dict: this one is about to be freed, and of its module nothing is known.
            if module.is_none() && self.dict(dict)?.is_empty() {
                return Err(ObjectError::Absent("type"));
            }
            return Ok(TypeName {
                module: module.unwrap_or_else(|| self.layout.builtins().to_owned()),
                qualname: self.string(qualname, MAX_NAME)?,
            });
        }
        let name = self.tp_name(ty)?;
        let (module, qualname) = name.rsplit_once('.').unwrap_or((self.layout.builtins(), &name));
        Ok(TypeName {
            module: module.to_owned(),
            qualname: qualname.to_owned(),
        })
    }

    /// The name of a module: its own, or in Python 2 that in its dict.
    pub fn module_name(&self, module: u64) -> Result<String> {
        let offsets = &self.layout.offsets;
        let name = match offsets.md_name {
            ABSENT16 => self
                .dict_get(self.field(module, offsets.md_dict)?, "__name__")?
                .ok_or(ObjectError::Absent("module name"))?,
            md_name => self.field(module, md_name)?,
        };
        self.string(name, MAX_NAME)
    }

    /// The items of a list, at most `max`.
    pub fn list(&self, object: u64, max: u64) -> Result<Vec<u64>> {
        let malformed = ObjectError::Malformed {
            what: "list",
            addr: object,
        };
        let len = self.field(object, self.layout.offsets.ob_size)?;
        if !self.is(object, tp_flags::LIST_SUBCLASS) || len > max {
            return Err(malformed);
        }
        let items = self.field(object, self.layout.offsets.list_ob_item)?;
        let bytes = self.memory.read_bytes(items, len as usize * 8)?;
        Ok(bytes.chunks_exact(8).map(|item| word(item, 0)).collect())
    }

    /// The name of an old-style class of Python 2: not a type, but of type `classobj`.
    fn old_class_name(&self, class: u64) -> Result<TypeName> {
        if !self.is_old_class(class) {
            return Err(ObjectError::Malformed {
                what: "type",
                addr: class,
            });
        }
        let offsets = &self.layout.offsets;
        let module = self
            .dict_get(self.field(class, offsets.cl_dict)?, "__module__")?
            .and_then(|module| self.string(module, MAX_NAME).ok());
        Ok(TypeName {
            module: module.unwrap_or_else(|| "?".to_owned()),
            qualname: self.string(self.field(class, offsets.cl_name)?, MAX_NAME)?,
        })
    }

    /// Is it an old-style class of Python 2?
    pub fn is_old_class(&self, object: u64) -> bool {
        self.layout.is_python2()
            && self
                .type_of(object)
                .and_then(|ty| self.tp_name(ty))
                .is_ok_and(|name| name == "classobj")
    }

    /// `type->tp_name`.
    pub fn tp_name(&self, ty: u64) -> Result<String> {
        let name = self.field(ty, self.layout.offsets.tp_name)?;
        let name = self.memory.read_cstr(name, MAX_NAME as usize)?;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }
}

/// Where the entries of a dict are.
struct DictTable {
    entries: u64,
    count: u64,
    /// Words of one entry; the last two are key and value.
    words: usize,
    /// Where the values are instead, if not 0.
    values: u64,
}

fn malformed_dict(addr: u64) -> ObjectError {
    ObjectError::Malformed { what: "dict", addr }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpython::Version;

    /// An object at the end of all addresses, behind which the first one comes again. Each of its words is a number that is
    /// an address, a length, and the state of a `str`; at the address is a type with all flags.
    struct AtTheEnd {
        object: u64,
        number: u64,
    }

    impl ReadMemory for AtTheEnd {
        fn read(&self, addr: u64, out: &mut [u8]) -> std::result::Result<(), ReadError> {
            for (byte, at) in out.iter_mut().zip(0..) {
                let at = addr.wrapping_add(at);
                let place = (at.wrapping_sub(self.object) % 8) as usize;
                let in_type = (self.number..0x1_0000).contains(&at);
                *byte = if in_type {
                    0xff
                } else {
                    self.number.to_le_bytes()[place]
                };
            }
            Ok(())
        }
    }

    #[test]
    fn objects_at_the_end_of_all_addresses_are_read_or_refused() {
        // `kind`, `compact`, `ascii` of 3.6 and later, and of free-threaded builds.
        for state in [0, 1 << 2 | 1 << 5 | 1 << 6, 1 << 2 | 1 << 5, 1 << 8 | 1 << 11] {
            for (minor, free_threaded) in [(6, false), (11, false), (14, true)] {
                let layout = Layout::of(Version::of_minor(3, minor), free_threaded).expect("a layout");
                for at in [0, 1, 7, 8, 15, 16, 23, 31, 40, 56, 64, 128].map(|n| u64::MAX - n) {
                    let memory = AtTheEnd {
                        object: at,
                        number: 0x400 + state,
                    };
                    let objects = Objects {
                        memory: &memory,
                        layout: &layout,
                        interp: u64::MAX,
                    };
                    let _ = objects.string(at, MAX_NAME);
                    let _ = objects.small_int(at);
                    let _ = objects.list(at, MAX_NAME);
                    let _ = objects.type_name(at);
                    let _ = objects.module_name(at);
                    assert_eq!(
                        objects.bytes(at, MAX_NAME).map(|bytes| bytes.len()),
                        Ok(0x400 + state as usize)
                    );
                    assert_eq!(
                        objects.tuple(at, MAX_NAME).map(|items| items.len()),
                        Ok(0x400 + state as usize)
                    );
                }
            }
        }
    }
}
