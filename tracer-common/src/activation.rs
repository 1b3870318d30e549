//! Runs of Python functions: the places in the eval loop where they begin and end, and what a probe knows there.
//!
//! A frame runs from its entry, or its resumption, to its return, a `yield`, or an exception that leaves it. It is known by its
//! address: later versions than 3.10 run many frames in one call of the eval function, and programs that switch C stacks have
//! several calls at one stack pointer. Probes in the middle of the eval function have cookies of their own:
//!
//! ```text
//! bits  0..20  site index             bits 32..36  words (signed)
//! bits 20..24  role                   bits 44..52  target index
//! bits 24..28  register of the frame  bits 52..54  where the value is
//! bits 28..32  register of the value  bit  54      only if the flags say "equal"
//! ```

use crate::cookie::Register;

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The eval function begins with a frame (up to 3.10).
    Eval = 0,
    /// The eval function ends; the value is NULL where an exception leaves it (up to 3.10).
    EvalEnd = 1,
    /// `RESUME` (3.11+): a frame begins, or goes on behind a `yield`.
    Resume = 2,
    /// The eval function begins (3.11+). Where the value is not 0, as C `int`, an exception is thrown into the frame.
    Throw = 3,
    /// `RETURN_VALUE` and the like (3.11+).
    Return = 4,
    /// `YIELD_VALUE` (3.11+).
    Yield = 5,
    /// A frame is taken off because an exception leaves it (3.11+); if none is set, it is something else.
    Unwind = 6,
}

impl Role {
    /// All of them, in numeric order.
    pub const ALL: [Self; 7] = [
        Self::Eval,
        Self::EvalEnd,
        Self::Resume,
        Self::Throw,
        Self::Return,
        Self::Yield,
        Self::Unwind,
    ];

    /// Whether a run begins there.
    pub const fn begins(self) -> bool {
        matches!(self, Self::Eval | Self::Resume | Self::Throw)
    }
}

/// Where the object is that a frame gives to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueAt {
    /// There is none.
    Nowhere,
    /// In a register.
    Register(Register),
    /// On top of the frame's value stack, whose end is what the register holds, less so many words (-8 to 7).
    Stack(Register, i8),
    /// Among the code's constants, by the argument of the frame's instruction (`RETURN_CONST`).
    Constant,
}

/// A place as its cookie tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Below [`crate::limits::MAX_SITES`].
    pub site: u32,
    /// Index of the traced process.
    pub target: u8,
    pub role: Role,
    pub frame: Register,
    pub value: ValueAt,
    /// It is a branch, and only counts where the flags say "equal".
    pub if_equal: bool,
}

const NOWHERE: u64 = 0;
const IN_REGISTER: u64 = 1;
const ON_STACK: u64 = 2;
const CONSTANT: u64 = 3;

impl Place {
    /// The 64 bits given to `BPF_LINK_CREATE`.
    pub const fn pack(&self) -> u64 {
        let (kind, register, words) = match self.value {
            ValueAt::Nowhere => (NOWHERE, 0, 0),
            ValueAt::Register(register) => (IN_REGISTER, register as u64, 0),
            ValueAt::Stack(register, words) => (ON_STACK, register as u64, words as u64 & 15),
            ValueAt::Constant => (CONSTANT, 0, 0),
        };
        (self.site as u64 & 0xf_ffff)
            | (self.role as u64) << 20
            | (self.frame as u64) << 24
            | register << 28
            | words << 32
            | (self.target as u64) << 44
            | kind << 52
            | (self.if_equal as u64) << 54
    }
}

/// Field access without building a [`Place`], for the kernel half.
#[derive(Clone, Copy)]
pub struct PackedPlace(pub u64);

impl PackedPlace {
    #[inline(always)]
    pub const fn site(self) -> u32 {
        (self.0 & 0xf_ffff) as u32
    }
    #[inline(always)]
    pub const fn role(self) -> u8 {
        (self.0 >> 20 & 0xf) as u8
    }
    /// Whether a run begins there.
    #[inline(always)]
    pub const fn begins(self) -> bool {
        let bit = 1u32 << self.role();
        bit & (1 << Role::Eval as u8 | 1 << Role::Resume as u8 | 1 << Role::Throw as u8) != 0
    }
    #[inline(always)]
    pub const fn frame(self) -> u8 {
        (self.0 >> 24 & 0xf) as u8
    }
    #[inline(always)]
    pub const fn value(self) -> u8 {
        (self.0 >> 28 & 0xf) as u8
    }
    /// Bytes from what the value's register holds to the value, if it is on the stack.
    #[inline(always)]
    pub const fn offset(self) -> i64 {
        let words = ((self.0 >> 32 & 0xf) as i64) << 60 >> 60;
        -8 * (words + 1)
    }
    #[inline(always)]
    pub const fn target(self) -> u32 {
        (self.0 >> 44 & 0xff) as u32
    }
    /// Whether what the place is of happens, by the flags there (`ZF` is bit 6; Intel SDM, volume 1, 3.4.3).
    #[inline(always)]
    pub const fn happens(self, flags: u64) -> bool {
        self.0 >> 54 & 1 & !(flags >> 6) == 0
    }
    #[inline(always)]
    pub const fn is_in_register(self) -> bool {
        self.0 >> 52 & 3 == IN_REGISTER
    }
    #[inline(always)]
    pub const fn is_on_stack(self) -> bool {
        self.0 >> 52 & 3 == ON_STACK
    }
}

/// The run goes on behind a `yield` or `await`.
pub const RUN_RESUMED: u8 = 1;
/// It begins with an exception that is thrown into it.
pub const RUN_THROWN: u8 = 2;
/// It ends with a `yield`, or what waits for another one does.
pub const RUN_YIELDED: u8 = 4;

/// None: a generator expression is made (3.15+). Never in a record.
pub const RUN_NONE: u8 = 0x80;

/// Words behind [`crate::wire::Tag::Activation`], by index; a return record has the first only.
pub mod word {
    /// Address of the frame.
    pub const FRAME: usize = 0;
    /// Address of the frame that is behind it, 0: none.
    pub const PREVIOUS: usize = 1;
    /// [`crate::encode::quick_key`], by which the daemon tells the kernel half what it thinks of the code.
    pub const KEY: usize = 2;
    /// Address of the dict with the function's globals.
    pub const GLOBALS: usize = 3;
    /// How many there are.
    pub const COUNT: usize = 4;
}

/// Runs of a code object are wanted.
pub const WANTED: u64 = 1;
/// They are not.
pub const UNWANTED: u64 = 2;

/// Runs in progress that are remembered, and verdicts on code objects. Of a run that is forgotten the end is not seen; code that
/// is forgotten is judged anew.
pub const MAX_RUNS: u32 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_survives_packing() {
        for (n, role) in (0..).zip(Role::ALL) {
            for words in -8..8 {
                let place = Place {
                    site: 0xf_fffe,
                    target: 0xa5,
                    role,
                    frame: Register::R12,
                    value: ValueAt::Stack(Register::R13, words),
                    if_equal: words == 0,
                };
                let packed = PackedPlace(place.pack());
                assert_eq!((packed.site(), packed.target()), (0xf_fffe, 0xa5));
                assert_eq!((packed.role(), packed.begins()), (n, role.begins()));
                assert_eq!((packed.frame(), packed.value()), (12, 13));
                assert_eq!(packed.offset(), -8 * i64::from(words) - 8);
                assert!(packed.is_on_stack() && !packed.is_in_register());
                assert_eq!(packed.happens(0xffff_ffbf), words != 0);
                assert!(packed.happens(0x40));
            }
        }
        let place = Place {
            site: 1,
            target: 2,
            role: Role::Return,
            frame: Register::Rsi,
            value: ValueAt::Register(Register::Rax),
            if_equal: false,
        };
        assert!(PackedPlace(place.pack()).is_in_register());
        for value in [ValueAt::Constant, ValueAt::Nowhere] {
            let packed = PackedPlace(Place { value, ..place }.pack());
            assert!(!packed.is_on_stack() && !packed.is_in_register());
        }
    }
}
