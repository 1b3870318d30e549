//! The records that cross the ring buffer, and the recordings that keep them.
//!
//! A record is a [`RecordHeader`], then `frames` × [`FrameRecord`], then values.
//! Everything is little endian and a multiple of 8 bytes, so the kernel half writes whole words.
//!
//! A **value** starts with a word: `tag` (bits 0..8), `sub` (8..16), `extra` (16..32) and `n`
//! (32..64). What follows depends on the tag, see [`Tag`]. Containers list their items until
//! [`Tag::End`]; a record that was cut ([`FLAG_CUT`]) may end before that, then what is there is
//! what was captured.
//!
//! Entry record: `Greenlet object End`, `Task name coroutine End` and `Span trace_id span_id End` (where there are such), `Self_ value` (bound methods, and constructors: the type), `Args … End`, `Kwargs … End` (only where the
//! convention has keywords and some were given), `Handle` (calls on a file descriptor).
//! Entry record of a Python function: `Activation`, `Globals … End` (where it may be new to the daemon), `Kwargs … End` (its
//! arguments by name; once more for those that are in cells up to 3.10). Its return record: `Activation`, then as any other.
//! Return record: `Result value` (then perhaps `Filled value`), or `Raised type value` where *type* is [`Tag::Type`] or, from
//! 3.12 on where the value says it all, [`Tag::Null`].

/// The entry probe of a site ran.
pub const KIND_ENTRY: u8 = 1;
/// The return probe of a site ran.
pub const KIND_RETURN: u8 = 2;
/// What names a code object that was not seen before: one [`FrameRecord`] that has it, then its `co_filename`,
/// `co_qualname` (`co_name` before 3.11) and `co_linetable` (`co_lnotab` before 3.10). It comes after the first entry
/// record with that code object, and before the return record of that call.
pub const KIND_CODE: u8 = 3;

/// Where a file is that a handle names for the first time; it comes before the record with that handle. Words: the name
/// ([`crate::handle::word::LOCAL`]), inode number, `i_mode`, 1 if the file belongs to no folder (else 0). Then the names of
/// the path, from the file's own outwards: each its length in bytes and its text, padded.
pub const KIND_PATH: u8 = 4;

/// A place from which calls are added up: one [`FrameRecord`]; the header's `sp` is the index of its
/// [`crate::aggregate::Aggregate`], and its time the address of the type by which its calls are named, 0: none.
pub const KIND_PLACE: u8 = 5;
/// Where a thread was when the clock ticked ([`crate::sample`]): frames and no values. [`FLAG_NO_TSTATE`]: the thread has no
/// `PyThreadState`; [`FLAG_FRAME_FAULT`]: what is missing could not be read; [`FLAG_CUT`]: there are more frames.
pub const KIND_SAMPLE: u8 = 6;

/// The record is cut: no room ([`crate::limits::RECORD_MAX`]) or too many items.
pub const FLAG_CUT: u32 = 1;
/// The thread state was not found: no frames, no exception.
pub const FLAG_NO_TSTATE: u32 = 2;
/// A frame could not be read; the frames before it are good.
pub const FLAG_FRAME_FAULT: u32 = 8;
/// Entry: the thread, under the name it has now, was not judged yet (only with [`crate::filter::FILTER_THREAD`]).
pub const FLAG_NEW_THREAD: u32 = 16;
/// Entry: the kernel was told not to tell of its return, since greenlet has just come ([`crate::load`]).
pub const FLAG_SPARED: u32 = 32;
/// Entry: the process has tasks or spans, but that of this call could not be found out.
pub const FLAG_UNATTRIBUTED: u32 = 64;
/// Entry: the call was not chosen ([`crate::rate`]), but raised. Its values are as they were at its return, before whose record it
/// comes.
pub const FLAG_LATE: u32 = 128;

/// In a value's `sub`: a type of Python 2 (`str` as [`Tag::Bytes`], `unicode` as [`Tag::Str`], `long` as
/// [`Tag::Int64`] or [`Tag::BigInt`], `xrange` as [`Tag::Range`]) that is written differently than Python 3's type of that kind.
pub const SUB_PYTHON2: u8 = 0x80;

/// First part of every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RecordHeader {
    /// `KIND_*`.
    pub kind: u8,
    /// [`crate::cookie::Convention`] of the site.
    pub convention: u8,
    /// Index of the traced process.
    pub target: u16,
    /// Length of the record in bytes, this header included.
    pub len: u32,
    /// Index of the site.
    pub site: u32,
    /// Thread id in the target's pid namespace.
    pub tid: u32,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub time_ns: u64,
    /// Stack pointer: at the probed instruction for entries, after `ret` for returns.
    /// Entry probes sit where the stack pointer is still the one at function entry, so
    /// `entry.sp == return.sp - 8` pairs the two.
    pub sp: u64,
    /// `FLAG_*`.
    pub flags: u32,
    /// How many [`FrameRecord`]s follow.
    pub frames: u16,
    /// Entry: the call was chosen by chance, one of 2^n ([`crate::rate`]); whoever raised was sure to be.
    pub weight_log2: u16,
}

impl RecordHeader {
    pub const SIZE: usize = size_of::<Self>();
}
const _: () = assert!(RecordHeader::SIZE == 40);

/// One Python frame, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FrameRecord {
    /// Address of the `PyCodeObject`.
    pub code: u64,
    /// [`crate::fingerprint::code_object`] at the moment of the call.
    pub fingerprint: u64,
    /// Bytes from the first to the current instruction (may be negative: before the first). Up to 3.10
    /// it is `f_lasti`: bytes, in 3.10 code units.
    pub instruction: i32,
    /// `co_firstlineno`.
    pub first_line: u32,
}

impl FrameRecord {
    pub const SIZE: usize = size_of::<Self>();
}
const _: () = assert!(FrameRecord::SIZE == 24);

/// What a value is. "data" is padded with zeros to 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tag {
    /// Closes a container. No payload.
    End = 0,
    /// A NULL pointer where an object was expected. No payload.
    Null = 1,
    None = 2,
    True = 3,
    False = 4,
    /// i64.
    Int64 = 5,
    /// `sub` bit 0 if negative, `n` captured 30-bit digits (the most significant ones, stored least
    /// significant first, u32 each, padded); first a u64: digits in all.
    BigInt = 6,
    /// f64 bits.
    Float = 7,
    /// Two f64 bits.
    Complex = 8,
    /// `sub` bytes per character (1, 2, 4; 1 is Latin-1), `n` captured bytes; u64 length in characters; data.
    Str = 9,
    /// `n` captured bytes; u64 length; data.
    Bytes = 10,
    /// As [`Tag::Bytes`].
    ByteArray = 11,
    /// As [`Tag::Bytes`].
    MemoryView = 12,
    /// u64 items in all; u64 id; items; End.
    List = 13,
    /// As [`Tag::List`].
    Tuple = 14,
    /// As [`Tag::List`].
    Set = 15,
    /// As [`Tag::List`].
    FrozenSet = 16,
    /// u64 pairs in all; u64 id; key, value, …; End.
    Dict = 17,
    /// start, stop, step; End.
    Range = 18,
    /// start, stop, step; End.
    Slice = 19,
    /// [`TypeRef`]: a type object as a value.
    Type = 20,
    /// u64 id; name value ([`Tag::Int64`]: the address of the module's dict, which has the name); End.
    Module = 21,
    /// Python function or method: u64 id; `__module__` value; `__qualname__` value; End.
    Function = 22,
    /// Builtin function or method: u64 id; `n` bytes of `ml_name`, data; `m_module` value (or Null); type of `m_self` as [`Tag::Type`] (or Null); End.
    CFunction = 23,
    /// [`TypeRef`]; u64 id; `args` value; End.
    Exception = 24,
    /// [`TypeRef`]; u64 id.
    Object = 25,
    /// An instance of a subclass of a type above: [`TypeRef`]; u64 id; then the value as the base type shows it.
    Subclass = 26,
    /// u64 address.
    Unreadable = 27,
    /// Not captured: depth, items or record size. u64 address.
    Cut = 28,
    /// u64 arguments in all; values; End.
    Args = 29,
    /// u64 keywords in all; name, value, …; End.
    Kwargs = 30,
    /// One value follows.
    Self_ = 31,
    /// One value follows.
    Result = 32,
    /// Type value, then value.
    Raised = 33,
    /// `n` is a file descriptor; [`crate::handle::HANDLE_WORDS`] words, see [`crate::handle::word`]. Last in an entry record,
    /// but for `PeerName`.
    Handle = 34,
    /// u64 position of an argument; one value follows: the buffer that was given there, as the call left it.
    Filled = 35,
    /// What a Unix socket's other end is bound to, `n` bytes of [`crate::handle::UNIX_NAME_WORDS`] words. After `Handle`.
    PeerName = 36,
    /// A run of a Python function, first in its records: `sub` is `RUN_*` bits of [`crate::activation`], `n` words follow, see
    /// [`crate::activation::word`].
    Activation = 37,
    /// The first of a module's globals: u64 1; name, value; End.
    Globals = 38,
    /// The asyncio task that runs: u64 id; its name (a `str`, or the number in `Task-1`; Null where it has none or is no task of
    /// asyncio's own making); its coroutine's qualified name (or the coroutine, where it is not CPython's; or Null); End.
    Task = 39,
    /// The greenlet that runs, if it is not its thread's first: u64 0; the object; End.
    Greenlet = 41,
    /// The current OpenTelemetry span: u64 0; trace id and span id, each an `int` value; End.
    Span = 40,
}

impl Tag {
    /// Number of tags; tags are `0..COUNT`.
    pub const COUNT: u8 = 42;

    /// The tag with that number.
    pub const fn from_u8(n: u8) -> Option<Self> {
        const ALL: [Tag; Tag::COUNT as usize] = [
            Tag::End,
            Tag::Null,
            Tag::None,
            Tag::True,
            Tag::False,
            Tag::Int64,
            Tag::BigInt,
            Tag::Float,
            Tag::Complex,
            Tag::Str,
            Tag::Bytes,
            Tag::ByteArray,
            Tag::MemoryView,
            Tag::List,
            Tag::Tuple,
            Tag::Set,
            Tag::FrozenSet,
            Tag::Dict,
            Tag::Range,
            Tag::Slice,
            Tag::Type,
            Tag::Module,
            Tag::Function,
            Tag::CFunction,
            Tag::Exception,
            Tag::Object,
            Tag::Subclass,
            Tag::Unreadable,
            Tag::Cut,
            Tag::Args,
            Tag::Kwargs,
            Tag::Self_,
            Tag::Result,
            Tag::Raised,
            Tag::Handle,
            Tag::Filled,
            Tag::PeerName,
            Tag::Activation,
            Tag::Globals,
            Tag::Task,
            Tag::Span,
            Tag::Greenlet,
        ];
        if n < Self::COUNT {
            Some(ALL[n as usize])
        } else {
            None
        }
    }
}

/// A type object: u64 address, then u64 [`crate::fingerprint::type_object`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct TypeRef {
    pub address: u64,
    pub fingerprint: u64,
}

/// The first word of a value.
#[inline(always)]
pub const fn value_word(tag: Tag, sub: u8, n: u32) -> u64 {
    tag as u64 | (sub as u64) << 8 | (n as u64) << 32
}

/// `len` rounded up to a whole number of words.
#[inline(always)]
pub const fn padded(len: u32) -> u32 {
    (len + 7) & !7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_numbered_as_from_u8_tells() {
        for n in 0..Tag::COUNT {
            assert_eq!(Tag::from_u8(n).map(|tag| tag as u8), Some(n));
        }
        assert_eq!(Tag::from_u8(Tag::COUNT), None);
    }
}
