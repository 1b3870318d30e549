//! What a probe knows about its site, packed into the 64 bits of a BPF attach cookie,
//! so that one program serves every site and looks nothing up.
//!
//! ```text
//! bits  0..20  site index            bits 44..52  target index
//! bits 20..24  calling convention    bits 52..54  how `self` is shown
//! bits 24..44  5 registers x 4 bits  bits 54..57  what the return value is
//!                                    bits 57..60  where a file descriptor is
//!                                    bits 60..62  which argument it fills
//!                                    bit 62  no Python code runs inside
//! ```

use crate::handle::HandleKind;

/// How a C function receives its arguments; the C prototypes are those of `Include/methodobject.h`
/// and `Include/cpython/methodobject.h`, and, for type slots, of `Include/object.h` and
/// `Include/cpython/object.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Convention {
    /// `f(self, NULL)`: `METH_NOARGS`; `f(self)`: `unaryfunc`, `tp_iternext` and other slots.
    NoArgs = 0,
    /// `f(self, arg)`: `METH_O`, `binaryfunc`.
    O = 1,
    /// `f(self, args_tuple)`: `METH_VARARGS`.
    VarArgs = 2,
    /// `f(self, args_tuple, kwargs_dict_or_NULL)`: `METH_VARARGS | METH_KEYWORDS`; also `tp_new`, `tp_init`, `tp_call`.
    VarArgsKeywords = 3,
    /// `f(self, args_array, nargs)`: `METH_FASTCALL`.
    FastCall = 4,
    /// `f(self, args_array, nargs, kwnames_tuple_or_NULL)`: `METH_FASTCALL | METH_KEYWORDS`; also `tp_vectorcall`.
    FastCallKeywords = 5,
    /// `f(self, cls, args_array, nargs, kwnames)`: `METH_METHOD | METH_FASTCALL | METH_KEYWORDS`.
    Method = 6,
    /// `f(self, key, value)`, `value` NULL to delete: `objobjargproc`, `setattrofunc`, `descrsetfunc`;
    /// also `ternaryfunc` of `nb_power`.
    KeyValue = 7,
    /// `f(self, index)` with a C `Py_ssize_t`: `ssizeargfunc`.
    Index = 8,
    /// `f(self, index, value)`, `value` NULL to delete: `ssizeobjargproc`.
    IndexValue = 9,
    /// `f(self, start, stop)`: `ssizessizeargfunc` (Python 2).
    Slice = 10,
    /// `f(self, start, stop, value)`, `value` NULL to delete: `ssizessizeobjargproc` (Python 2).
    SliceValue = 11,
    /// `f(self, other, op)`: `richcmpfunc`; `op` is recorded as a last argument.
    Compare = 12,
    /// A specialised bytecode at its last check, see [`crate::guard`]; from the top of the value stack: object, value. The
    /// name is that of the frame's instruction.
    StackAttribute = 13,
    /// The same; from the top: key, object, value.
    StackItem = 14,
    /// The same; from the top: item, object.
    StackAppend = 15,
}

impl Convention {
    /// All conventions, in numeric order.
    pub const ALL: [Self; 16] = [
        Self::NoArgs,
        Self::O,
        Self::VarArgs,
        Self::VarArgsKeywords,
        Self::FastCall,
        Self::FastCallKeywords,
        Self::Method,
        Self::KeyValue,
        Self::Index,
        Self::IndexValue,
        Self::Slice,
        Self::SliceValue,
        Self::Compare,
        Self::StackAttribute,
        Self::StackItem,
        Self::StackAppend,
    ];

    /// How many C arguments the snapshot needs, `self` included.
    pub const fn arguments(self) -> usize {
        match self {
            // Not arguments: see `crate::guard`.
            Self::StackAttribute | Self::StackItem | Self::StackAppend => 0,
            Self::NoArgs => 1,
            Self::O | Self::VarArgs | Self::Index => 2,
            Self::VarArgsKeywords | Self::FastCall => 3,
            Self::KeyValue | Self::IndexValue | Self::Slice | Self::Compare => 3,
            Self::FastCallKeywords | Self::SliceValue => 4,
            Self::Method => 5,
        }
    }

    /// The convention with that number.
    pub const fn from_u8(n: u8) -> Option<Self> {
        if (n as usize) < Self::ALL.len() {
            Some(Self::ALL[n as usize])
        } else {
            None
        }
    }
}

/// What the first C argument is to the reader of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SelfKind {
    /// A module, or `NULL`: not shown.
    Module = 0,
    /// The instance the method is bound to, or the class of a classmethod: shown.
    Bound = 1,
    /// The type that a constructor is to make an instance of: names the event, not shown.
    Type = 2,
    /// None: the site is where an exception comes to a frame, and the arguments are the exception.
    Exception = 3,
}

impl SelfKind {
    /// All kinds, in numeric order.
    pub const ALL: [Self; 4] = [Self::Module, Self::Bound, Self::Type, Self::Exception];
}

/// What the C function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ReturnKind {
    /// `PyObject *`; `NULL` means an exception is set.
    Object = 0,
    /// `int`; negative means an exception is set, the Python-level result is `None`.
    Status = 1,
    /// `PyObject *`; `NULL` without an exception means exhausted (`tp_iternext`): recorded as a
    /// `StopIteration` without arguments, which is what the caller of `__next__` gets.
    Iterator = 2,
    /// `int`; negative means an exception is set, the Python-level result is a `bool` (`inquiry`, `objobjproc`).
    Truth = 3,
    /// `Py_ssize_t` or `Py_hash_t`; -1 means an exception is set, the Python-level result is an `int`.
    Size = 4,
    /// Nothing (`destructor`): it cannot fail, the Python-level result is `None`.
    Nothing = 5,
}

impl ReturnKind {
    /// All kinds, in numeric order.
    pub const ALL: [Self; 6] = [
        Self::Object,
        Self::Status,
        Self::Iterator,
        Self::Truth,
        Self::Size,
        Self::Nothing,
    ];
}

/// The general-purpose registers in the order of x86-64's own encoding; 4 bits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Register {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rsp = 4,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    R12 = 12,
    R13 = 13,
    R14 = 14,
    R15 = 15,
}

impl Register {
    /// Integer argument registers of the System V x86-64 ABI, first argument first.
    pub const ARGUMENTS: [Self; 6] = [Self::Rdi, Self::Rsi, Self::Rdx, Self::Rcx, Self::R8, Self::R9];

    /// The register with that encoding.
    pub const fn from_u8(n: u8) -> Option<Self> {
        const ALL: [Register; 16] = [
            Register::Rax,
            Register::Rcx,
            Register::Rdx,
            Register::Rbx,
            Register::Rsp,
            Register::Rbp,
            Register::Rsi,
            Register::Rdi,
            Register::R8,
            Register::R9,
            Register::R10,
            Register::R11,
            Register::R12,
            Register::R13,
            Register::R14,
            Register::R15,
        ];
        if n < 16 { Some(ALL[n as usize]) } else { None }
    }
}

/// Registers a cookie has room for: `self` and four more.
pub const COOKIE_REGISTERS: usize = 5;

/// A site as its cookie tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteCookie {
    /// Index of the site, below [`crate::limits::MAX_SITES`].
    pub site: u32,
    /// Index of the traced process in the `TARGETS` map.
    pub target: u8,
    /// Where each C argument lives at the probed instruction.
    pub registers: [Register; COOKIE_REGISTERS],
    pub convention: Convention,
    pub self_kind: SelfKind,
    pub return_kind: ReturnKind,
    /// Position of the argument that is a buffer for what is read, below 3.
    pub fills: Option<u8>,
    pub handle: HandleKind,
    /// No Python code runs inside: its return may be probed where C stacks are switched.
    pub leaf: bool,
}

impl SiteCookie {
    /// The first site of the first process, with nothing special about it.
    pub const fn plain(registers: [Register; COOKIE_REGISTERS], convention: Convention) -> Self {
        Self {
            site: 0,
            target: 0,
            registers,
            convention,
            self_kind: SelfKind::Bound,
            return_kind: ReturnKind::Status,
            fills: None,
            handle: HandleKind::None,
            leaf: false,
        }
    }

    /// The 64 bits given to `BPF_LINK_CREATE`.
    pub const fn pack(&self) -> u64 {
        let mut registers = 0u64;
        let mut i = 0;
        while i < COOKIE_REGISTERS {
            registers |= (self.registers[i] as u64) << (4 * i);
            i += 1;
        }
        let fills = match self.fills {
            Some(position) => (position as u64 + 1) & 3,
            None => 0,
        };
        (self.site as u64 & 0xf_ffff)
            | (self.convention as u64) << 20
            | registers << 24
            | (self.target as u64) << 44
            | (self.self_kind as u64) << 52
            | (self.return_kind as u64) << 54
            | fills << 60
            | (self.handle as u64) << 57
            | (self.leaf as u64) << 62
    }
}

/// Field access without building a [`SiteCookie`], for the kernel half.
#[derive(Clone, Copy)]
pub struct Packed(pub u64);

impl Packed {
    #[inline(always)]
    pub const fn site(self) -> u32 {
        (self.0 & 0xf_ffff) as u32
    }
    #[inline(always)]
    pub const fn convention(self) -> u8 {
        (self.0 >> 20 & 0xf) as u8
    }
    /// Encoding of the register that holds C argument `i` (`i` < 5).
    #[inline(always)]
    pub const fn register(self, i: u32) -> u8 {
        (self.0 >> (24 + 4 * i) & 0xf) as u8
    }
    #[inline(always)]
    pub const fn target(self) -> u32 {
        (self.0 >> 44 & 0xff) as u32
    }
    /// The same, with another target's index.
    #[inline(always)]
    pub const fn with_target(self, target: u32) -> Self {
        Self(self.0 & !(0xff << 44) | (target as u64 & 0xff) << 44)
    }
    #[inline(always)]
    pub const fn self_kind(self) -> u8 {
        (self.0 >> 52 & 3) as u8
    }
    #[inline(always)]
    pub const fn return_kind(self) -> u8 {
        (self.0 >> 54 & 7) as u8
    }
    /// 1 + the position of the argument that is filled, 0: none.
    #[inline(always)]
    pub const fn fills(self) -> u64 {
        self.0 >> 60 & 3
    }
    #[inline(always)]
    pub const fn is_leaf(self) -> bool {
        self.0 >> 62 & 1 != 0
    }
    /// Which of two probes at the same place it is ([`crate::budget::GATE`]).
    #[inline(always)]
    pub const fn gate(self) -> bool {
        self.0 & crate::budget::GATE != 0
    }
    #[inline(always)]
    pub const fn handle(self) -> u8 {
        (self.0 >> 57 & 7) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conventions_are_known_by_number_and_have_the_arguments_of_their_prototypes() {
        let arguments = Convention::ALL.map(Convention::arguments);
        assert_eq!(arguments, [1, 2, 2, 3, 3, 4, 5, 3, 2, 3, 3, 4, 3, 0, 0, 0]);
        let by_number: [_; 17] = core::array::from_fn(|n| Convention::from_u8(n as u8));
        assert_eq!(by_number[..16], Convention::ALL.map(Some));
        assert_eq!(by_number[16], None);
    }

    #[test]
    fn registers_are_numbered_as_x86_64_encodes_them() {
        for n in 0..16 {
            assert_eq!(Register::from_u8(n).map(|register| register as u8), Some(n));
        }
        assert_eq!(Register::from_u8(16), None);
        assert_eq!(
            Register::ARGUMENTS.map(|register| register as u8),
            [7, 6, 2, 1, 8, 9]
        );
    }

    #[test]
    fn every_field_survives_packing() {
        for convention in Convention::ALL {
            let cookie = SiteCookie {
                site: 0xf_fffe,
                target: 0xa5,
                registers: [
                    Register::Rdi,
                    Register::R15,
                    Register::Rax,
                    Register::Rcx,
                    Register::R8,
                ],
                convention,
                self_kind: SelfKind::Type,
                return_kind: ReturnKind::Size,
                fills: Some(1),
                handle: HandleKind::Argument,
                leaf: true,
            };
            let packed = Packed(cookie.pack());
            assert_eq!(packed.site(), 0xf_fffe);
            assert_eq!(packed.target(), 0xa5);
            let other = packed.with_target(0x5a);
            assert_eq!(other.target(), 0x5a);
            assert_eq!(other.with_target(0xa5).0, packed.0);
            assert_eq!(packed.convention(), convention as u8);
            assert_eq!(packed.self_kind(), SelfKind::Type as u8);
            assert_eq!(packed.return_kind(), ReturnKind::Size as u8);
            assert_eq!(packed.fills(), 2);
            assert_eq!(
                Packed(
                    SiteCookie {
                        fills: None,
                        ..cookie
                    }
                    .pack()
                )
                .fills(),
                0
            );
            assert!(packed.is_leaf());
            assert!(
                !Packed(
                    SiteCookie {
                        leaf: false,
                        ..cookie
                    }
                    .pack()
                )
                .is_leaf()
            );
            assert_eq!(packed.handle(), HandleKind::Argument as u8);
            for (i, register) in cookie.registers.iter().enumerate() {
                assert_eq!(packed.register(i as u32), *register as u8);
            }
        }
    }
}
