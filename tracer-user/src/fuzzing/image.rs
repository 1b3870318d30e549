//! The memory of a process that does not exist: objects laid out as one version of CPython lays them out, linked as the input
//! says, and with any word changed.
//!
//! Each object has a page. Two regions repeat a page without an end, and one is a table of entries without an end, so that
//! a few bytes of input make millions of modules or a chain of types that never ends.

use std::collections::HashMap;

use tracer_common::target::{ABSENT as ABSENT16, KnownObjects};

use super::input::Input;
use crate::cpython::{
    Descriptors, Interpreter, Roots, Version,
    layout::{ABSENT, Layout},
    objects::tp_flags,
};
use crate::process::{ReadError, ReadMemory};

const PAGE: u64 = 0x1000;
/// The first object's page.
const BASE: u64 = 0x10_0000;
/// Objects that the input can name.
const SLOTS: u8 = 64;
const INTERPRETER: u64 = 0x4000_0000;
/// Regions in which page n is the repeated page, with n pages added to each pointer into such a region.
const MIRRORS: [u64; 2] = [0x1_0000_0000, 0x3_0000_0000];
const MIRROR_LEN: u64 = 0x1_0000_0000;
/// Entries of a dict: (hash,) key, value; the values are one after the other in the first mirror.
const ENTRIES: u64 = 0x6_0000_0000;
const ENTRIES_LEN: u64 = 0x1_0000_0000;
/// Where in an object's page there is room.
const TEXT: u64 = 0xe00;
const TABLE: u64 = 0x800;

/// Objects that are there before the input says anything, by slot.
const KNOWN: [(&str, u64); 24] = [
    ("type", tp_flags::TYPE_SUBCLASS),
    ("object", 0),
    ("module", 0),
    ("builtin_function_or_method", 0),
    ("builtin_method", 0),
    ("method_descriptor", 0),
    ("classmethod_descriptor", 0),
    ("wrapper_descriptor", 0),
    ("staticmethod", 0),
    ("classmethod", 0),
    ("str", tp_flags::UNICODE_SUBCLASS),
    ("dict", tp_flags::DICT_SUBCLASS),
    ("tuple", tp_flags::TUPLE_SUBCLASS),
    ("list", tp_flags::LIST_SUBCLASS),
    ("weakref", 0),
    ("function", 0),
    ("code", 0),
    ("property", 0),
    ("int", tp_flags::LONG_SUBCLASS),
    ("bytes", tp_flags::BYTES_SUBCLASS),
    ("classobj", 0),
    ("cython_function_or_method", 0),
    ("__builtin__.file", 0),
    ("cell", 0),
];

const TYPE: u8 = 0;
const OBJECT: u8 = 1;
const MODULE: u8 = 2;
const STR: u8 = 10;
const DICT: u8 = 11;
const TUPLE: u8 = 12;
const LIST: u8 = 13;
const WEAKREF: u8 = 14;
const PYTHON_FUNCTION: u8 = 15;
const CODE: u8 = 16;
const BYTES: u8 = 19;

/// What the input can ask for.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Op {
    Str,
    Module,
    Dict,
    Type,
    Function,
    MethodDef,
    Descriptor,
    Sequence,
    WeakRef,
    PythonFunction,
    Code,
    Mirror,
    EndlessDict,
    Word,
    Pointer,
    Modules,
}

impl Op {
    const ALL: [Self; 16] = [
        Self::Str,
        Self::Module,
        Self::Dict,
        Self::Type,
        Self::Function,
        Self::MethodDef,
        Self::Descriptor,
        Self::Sequence,
        Self::WeakRef,
        Self::PythonFunction,
        Self::Code,
        Self::Mirror,
        Self::EndlessDict,
        Self::Word,
        Self::Pointer,
        Self::Modules,
    ];
}

/// What is read where nothing was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    Unmapped,
    Zeros,
    /// The first object's page, everywhere.
    Again,
}

/// The memory, and what a tracer knows of it.
pub(crate) struct Image {
    pub layout: Layout,
    pub version: Version,
    /// By slot.
    objects: Vec<[u8; PAGE as usize]>,
    /// All others, by number.
    pages: HashMap<u64, Box<[u8; PAGE as usize]>>,
    mirrored: [u64; 2],
    endless_key: u64,
    elsewhere: Elsewhere,
}

/// Address of an object.
pub(crate) fn slot(n: u8) -> u64 {
    BASE + u64::from(n % SLOTS) * PAGE
}

/// Every object's address, and some that are none.
pub(crate) fn places() -> impl Iterator<Item = u64> {
    (0..SLOTS).map(slot).chain(MIRRORS).chain([
        0,
        1,
        u64::MAX,
        u64::MAX - 7,
        u64::MAX - 24,
        u64::MAX - PAGE + 1,
    ])
}

/// The versions with a layout; `t`: free-threaded.
pub(crate) const VERSIONS: [(u8, u8, bool); 13] = [
    (2, 7, false),
    (3, 6, false),
    (3, 7, false),
    (3, 8, false),
    (3, 9, false),
    (3, 10, false),
    (3, 11, false),
    (3, 12, false),
    (3, 13, false),
    (3, 14, false),
    (3, 14, true),
    (3, 15, false),
    (3, 15, true),
];

impl Image {
    /// The memory that the input describes: version, what is elsewhere, then one [`Op`] after the other.
    pub(crate) fn parse(input: &mut Input<'_>) -> Option<Self> {
        let (major, minor, free_threaded) = input.one_of(&VERSIONS);
        let version = Version::of_minor(major, minor);
        let mut layout = Layout::of(version, free_threaded)?;
        let elsewhere = input.one_of(&[Elsewhere::Unmapped, Elsewhere::Zeros, Elsewhere::Again]);
        if layout.is_python2() {
            layout.unicode_width = input.one_of(&[2, 4]);
        }
        let mut image = Self {
            layout,
            version,
            objects: vec![[0; PAGE as usize]; usize::from(SLOTS)],
            pages: HashMap::new(),
            mirrored: [slot(0); 2],
            endless_key: slot(0),
            elsewhere,
        };
        for (n, (name, flags)) in (0..).zip(KNOWN) {
            image.known_type(n, name, flags);
        }
        while !input.is_empty() {
            let op = input.one_of(&Op::ALL);
            image.apply(op, input);
        }
        Some(image)
    }

    /// What a tracer would have found out about it.
    pub(crate) fn interpreter(&self) -> Interpreter {
        let is = |name: &str| {
            let found = KNOWN.iter().zip(0..).find(|((known, _), _)| *known == name);
            found.map_or(0, |(_, n)| slot(n))
        };
        let known = KnownObjects {
            module_type: is("module"),
            cfunction_type: is("builtin_function_or_method"),
            cmethod_type: is("builtin_method"),
            function_type: is("function"),
            code_type: is("code"),
            object_type: is("object"),
            dict_type: is("dict"),
            list_type: is("list"),
            long_type: is("int"),
            ..KnownObjects::default()
        };
        let descriptors = Descriptors {
            type_type: is("type"),
            method: is("method_descriptor"),
            class_method: is("classmethod_descriptor"),
            slot: is("wrapper_descriptor"),
            new_wrapper: 0x40_0000,
            staticmethod: is("staticmethod"),
            classmethod: is("classmethod"),
            property: is("property"),
        };
        let roots = Roots {
            interpreters_head: INTERPRETER - 8,
            main: INTERPRETER,
            tstate_current: 0,
        };
        Interpreter::made_up(self.version, self.layout.clone(), roots, known, descriptors)
    }

    fn known_type(&mut self, n: u8, name: &str, flags: u64) {
        let ty = slot(n);
        let offsets = self.layout.offsets;
        self.field(ty, offsets.ob_type, slot(TYPE));
        self.field(ty, offsets.tp_flags, flags);
        self.field(ty, offsets.tp_name, ty + TEXT);
        self.field(ty, offsets.tp_base, if n == OBJECT { 0 } else { slot(OBJECT) });
        self.put(ty + TEXT, name.as_bytes());
    }

    fn apply(&mut self, op: Op, input: &mut Input<'_>) {
        let (offsets, user) = (self.layout.offsets, self.layout.user);
        let at = slot(input.u8());
        let reference = |input: &mut Input<'_>| match input.u8() {
            n @ 0..SLOTS => slot(n),
            64 => MIRRORS[0],
            65 => MIRRORS[1],
            66 => MIRRORS[0] + PAGE,
            67 => MIRRORS[1] + PAGE,
            _ => 0,
        };
        match op {
            Op::Str => {
                let len = input.u8();
                let text = input.bytes(usize::from(len));
                self.string(at, text);
            }
            Op::Module => {
                self.field(at, offsets.ob_type, slot(MODULE));
                self.field(at, offsets.md_dict, reference(input));
                self.field(at, offsets.md_name, reference(input));
            }
            Op::Dict => {
                let count = u64::from(input.u8() % 32);
                let pairs: Vec<u64> = (0..2 * count).map(|_| reference(input)).collect();
                self.dict(at, &pairs);
            }
            Op::Type => {
                self.field(at, offsets.ob_type, reference(input));
                self.field(at, offsets.tp_base, reference(input));
                self.user_field(at, user.tp_dict, reference(input));
                self.user_field(at, user.tp_mro, reference(input));
                self.user_field(at, user.tp_subclasses, reference(input));
                self.user_field(at, user.ht_qualname, reference(input));
                self.field(at, offsets.tp_name, reference(input) + TEXT);
                self.user_field(at, user.tp_init, u64::from(input.u8()));
                self.user_field(at, user.tp_vectorcall, u64::from(input.u8()));
                self.user_field(at, user.tp_new, u64::from(input.u8()));
                let flags = u64::from(input.u8()) << 24 | u64::from(input.u8()) << 9;
                self.field(at, offsets.tp_flags, flags | u64::from(input.u8() & 2));
            }
            Op::Function => {
                self.field(at, offsets.ob_type, reference(input));
                self.field(at, offsets.m_ml, reference(input));
                self.field(at, offsets.m_self, reference(input));
                self.field(at, offsets.m_module, reference(input));
            }
            Op::MethodDef => {
                self.user_field(at, user.ml_name, reference(input) + TEXT);
                self.user_field(at, user.ml_meth, 0x40_0000 + u64::from(input.u8()) * 16);
                self.user_field(at, user.ml_flags, u64::from(input.u16()));
            }
            Op::Descriptor => {
                self.field(at, offsets.ob_type, reference(input));
                self.user_field(at, user.d_type, reference(input));
                self.user_field(at, user.d_method, reference(input));
                self.user_field(at, user.d_wrapped, u64::from(input.u8()));
                self.user_field(at, user.cm_callable, reference(input));
            }
            Op::Sequence => {
                let (ty, is_list) = input.one_of(&[(TUPLE, false), (LIST, true)]);
                let items: Vec<u64> = (0..input.u8() % 64).map(|_| reference(input)).collect();
                self.field(at, offsets.ob_type, slot(ty));
                self.field(at, offsets.ob_size, items.len() as u64);
                if is_list {
                    self.field(at, offsets.list_ob_item, at + TABLE);
                }
                let first = if is_list {
                    TABLE
                } else {
                    u64::from(offsets.tuple_ob_item)
                };
                self.words(at + first, &items);
            }
            Op::WeakRef => {
                self.field(at, offsets.ob_type, slot(WEAKREF));
                self.user_field(at, user.wr_object, reference(input));
            }
            Op::PythonFunction => {
                self.field(at, offsets.ob_type, slot(PYTHON_FUNCTION));
                self.user_field(at, user.func_code, reference(input));
                self.user_field(at, user.func_globals, reference(input));
                self.user_field(at, user.func_closure, reference(input));
                self.field(at, offsets.func_qualname, reference(input));
            }
            Op::Code => {
                self.field(at, offsets.ob_type, slot(CODE));
                self.field(at, offsets.co_qualname, reference(input));
                self.field(at, offsets.co_filename, reference(input));
                self.field(at, offsets.co_linetable, reference(input));
                self.field(at, offsets.co_consts, reference(input));
                self.field(at, offsets.co_flags, u64::from(input.u8()));
            }
            Op::Mirror => self.mirrored[usize::from(input.u8() & 1)] = at,
            Op::EndlessDict => {
                self.endless_key = reference(input);
                // More entries than a walk may look at here; as many as one may have take long.
                let log2 = input.u8() % 14;
                self.endless_dict(at, log2);
            }
            Op::Word => {
                let place = at + u64::from(input.u16()) % (PAGE - 8);
                let word = input.u64();
                self.words(place, &[word]);
            }
            Op::Pointer => {
                let place = at + u64::from(input.u16()) % (PAGE - 8);
                let word = reference(input).wrapping_add_signed(i64::from(input.u8() as i8));
                self.words(place, &[word]);
            }
            Op::Modules => {
                self.user_field(INTERPRETER, user.interp_modules, at);
                self.user_field(INTERPRETER, user.interp_sysdict, reference(input));
                self.field(INTERPRETER, offsets.interp_next, reference(input));
                self.words(INTERPRETER - 8, &[INTERPRETER]);
            }
        }
    }

    /// A `str` of ASCII, longer than its text if it ends with a byte that is none.
    fn string(&mut self, at: u64, text: &[u8]) {
        let offsets = self.layout.offsets;
        let len = match text.last() {
            Some(byte) if !byte.is_ascii() => 16 * u64::from(*byte),
            _ => text.len() as u64,
        };
        self.put(at + TEXT, &text[..text.len().min(0x1ff)]);
        if self.layout.is_python2() {
            self.field(at, offsets.ob_type, slot(BYTES));
            self.field(at, offsets.ob_size, len);
            self.put(at + u64::from(offsets.ob_sval), text);
            return;
        }
        self.field(at, offsets.ob_type, slot(STR));
        self.field(at, offsets.unicode_length, len);
        // One byte a character, compact, ASCII.
        let state = (1 | 1 << 3 | 1 << 4) << (offsets.unicode_kind_shift & 31);
        self.put(at + u64::from(offsets.unicode_state), &u32::to_le_bytes(state));
        self.put(at + u64::from(offsets.unicode_ascii_data), text);
    }

    /// A dict of key, value, key, value …
    fn dict(&mut self, at: u64, pairs: &[u64]) {
        let offsets = self.layout.offsets;
        self.field(at, offsets.ob_type, slot(DICT));
        let entries: Vec<u64> = pairs.chunks(2).flat_map(|pair| [0, pair[0], pair[1]]).collect();
        let count = pairs.len() as u64 / 2;
        if offsets.ma_table != ABSENT16 {
            self.field(at, offsets.ma_mask, count.wrapping_sub(1));
            self.field(at, offsets.ma_table, at + TABLE);
            self.words(at + TABLE, &entries);
            return;
        }
        let keys = at + 0x400;
        self.field(at, offsets.ma_keys, keys);
        self.field(at, offsets.ma_values, 0);
        let index = self.keys(keys, count, 5);
        self.words(keys + u64::from(offsets.dk_indices) + index, &entries);
    }

    /// A dict whose keys object ends where the endless entries begin.
    fn endless_dict(&mut self, at: u64, log2: u8) {
        let offsets = self.layout.offsets;
        self.field(at, offsets.ob_type, slot(DICT));
        let count = 1 << log2;
        if offsets.ma_table != ABSENT16 {
            self.field(at, offsets.ma_mask, count - 1);
            self.field(at, offsets.ma_table, ENTRIES);
            return;
        }
        let index = match log2 {
            0..=7 => count,
            8..=15 => 2 * count,
            _ => 4 * count,
        };
        let keys = ENTRIES - u64::from(offsets.dk_indices) - index;
        self.field(at, offsets.ma_keys, keys);
        self.field(at, offsets.ma_values, 0);
        self.keys(keys, count, log2);
    }

    /// The head of a keys object; bytes of its index.
    fn keys(&mut self, keys: u64, count: u64, log2: u8) -> u64 {
        let offsets = self.layout.offsets;
        self.field(keys, offsets.dk_nentries, count);
        let size = 1u64 << log2;
        let width = match log2 {
            0..=7 => 0,
            8..=15 => 1,
            _ => 2,
        };
        if offsets.dk_size != ABSENT16 {
            self.field(keys, offsets.dk_size, size);
        } else {
            self.put(keys + u64::from(offsets.dk_log2_size), &[log2]);
            self.put(keys + u64::from(offsets.dk_log2_index_bytes), &[log2 + width]);
            self.put(keys + u64::from(offsets.dk_kind), &[0]);
        }
        size << width
    }

    fn field(&mut self, object: u64, offset: u16, value: u64) {
        if offset != ABSENT16 {
            self.words(object + u64::from(offset), &[value]);
        }
    }

    fn user_field(&mut self, object: u64, offset: u32, value: u64) {
        if offset != ABSENT {
            self.words(object + u64::from(offset), &[value]);
        }
    }

    fn words(&mut self, at: u64, words: &[u64]) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes);
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        for (address, byte) in (at..).zip(bytes) {
            let of_object = address.wrapping_sub(BASE) / PAGE;
            let page = match self.objects.get_mut(of_object as usize) {
                Some(page) => page,
                None => self
                    .pages
                    .entry(address / PAGE)
                    .or_insert_with(|| Box::new([0; PAGE as usize])),
            };
            page[(address % PAGE) as usize] = *byte;
        }
    }

    fn page(&self, at: u64) -> Option<&[u8; PAGE as usize]> {
        let of_object = at.wrapping_sub(BASE) / PAGE;
        match self.objects.get(of_object as usize) {
            Some(page) => Some(page),
            None => Some(&**self.pages.get(&(at / PAGE))?),
        }
    }

    /// The word of the repeated pages or of the endless entries that holds a byte.
    fn endless_word(&self, at: u64) -> Option<u64> {
        for (start, page) in MIRRORS.into_iter().zip(self.mirrored) {
            if (start..start + MIRROR_LEN).contains(&at) {
                let page = self.page(page)?;
                let word = page.get(((at % PAGE) & !7) as usize..)?.first_chunk()?;
                let word = u64::from_le_bytes(*word);
                let repeated = MIRRORS
                    .iter()
                    .any(|start| (*start..start + MIRROR_LEN).contains(&word));
                let pages = (at - start) / PAGE * PAGE;
                return Some(if repeated { word + pages } else { word });
            }
        }
        (ENTRIES..ENTRIES + ENTRIES_LEN).contains(&at).then(|| {
            let n = (at - ENTRIES) / 8;
            match n % 3 {
                0 => 0,
                1 => self.endless_key,
                _ => MIRRORS[0] + n / 3 * PAGE % MIRROR_LEN,
            }
        })
    }
}

impl ReadMemory for Image {
    /// Addresses go on from 0 behind the last one: worse than any process.
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        const ZEROS: &[u8; PAGE as usize] = &[0; PAGE as usize];
        let error = ReadError { addr, len: out.len() };
        let mut at = addr;
        let mut rest = out;
        while !rest.is_empty() {
            let word = self.endless_word(at).map(u64::to_le_bytes);
            let from = match &word {
                Some(word) => &word[(at % 8) as usize..],
                None => {
                    let page = self.page(at).or(match self.elsewhere {
                        Elsewhere::Unmapped => None,
                        Elsewhere::Zeros => Some(ZEROS),
                        Elsewhere::Again => self.page(BASE),
                    });
                    &page.ok_or(error)?[(at % PAGE) as usize..]
                }
            };
            let len = from.len().min(rest.len());
            let (part, after) = rest.split_at_mut(len);
            part.copy_from_slice(&from[..len]);
            rest = after;
            at = at.wrapping_add(len as u64);
        }
        Ok(())
    }
}
