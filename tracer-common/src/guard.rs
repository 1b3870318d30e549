//! A probe on the last check of a specialised bytecode's handler: a conditional branch.
//!
//! The branch has not been taken yet, so the flags tell whether the handler will go on; if not, it is as if the probe had
//! not been there: a more general form does the work, and is probed too. The operands are on the frame's value stack, whose
//! end is in a register. All of it is in the cookie where a function's argument registers would be.

use crate::cookie::{COOKIE_REGISTERS, Convention, Packed, Register};

/// The flags that conditions look at, by their bit in `EFLAGS` (Intel SDM, volume 1, 3.4.3).
const CARRY: u32 = 0;
const PARITY: u32 = 2;
const ZERO: u32 = 6;
const SIGN: u32 = 7;
const OVERFLOW: u32 = 11;

/// Bytes that a frame's value stack is away from the frame at most.
const MAX_FRAME: u64 = 1 << 20;

/// What is known of the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The value stack's end is what this register holds, less `words` words.
    pub stack: Register,
    /// From -8 to 7.
    pub words: i8,
    /// The condition under which the handler goes on, as x86-64 encodes it in a branch: 0 to 15.
    pub condition: u8,
}

impl Guard {
    /// In the place of [`crate::cookie::SiteCookie::registers`]. `None`: a number is out of its range.
    pub const fn pack(self) -> Option<[Register; COOKIE_REGISTERS]> {
        if self.words < -8 || self.words > 7 {
            return None;
        }
        let (Some(words), Some(condition)) = (
            Register::from_u8(self.words as u8 & 15),
            Register::from_u8(self.condition),
        ) else {
            return None;
        };
        Some([self.stack, words, condition, ON_STACK, Register::Rax])
    }
}

/// Where what is read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Register(Register),
    /// In memory, so many words from what the register holds: from -8 to 7.
    Memory(Register, i8),
}

/// What is known of the place behind which a read of a global is sure. Its convention is
/// [`Convention::StackAttribute`], since it has the name and the value of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    pub source: Source,
    /// As in [`Guard`].
    pub condition: u8,
    /// The lowest bit of the instruction's argument is no part of the name's index (3.11+).
    pub shifted: bool,
}

/// What the fourth register of a cookie stands for: of a [`Guard`], and of a [`Read`].
const ON_STACK: Register = Register::Rax;
const IN_REGISTER: Register = Register::Rcx;
const IN_MEMORY: Register = Register::Rdx;

impl Read {
    /// In the place of [`crate::cookie::SiteCookie::registers`]. `None`: a number is out of its range.
    pub const fn pack(self) -> Option<[Register; COOKIE_REGISTERS]> {
        let (stack, words, kind) = match self.source {
            Source::Register(register) => (register, 0, IN_REGISTER),
            Source::Memory(register, words) => (register, words, IN_MEMORY),
        };
        let guard = Guard {
            stack,
            words,
            condition: self.condition,
        };
        let Some([register, words, condition, _, _]) = guard.pack() else {
            return None;
        };
        let shift = if self.shifted {
            Register::Rcx
        } else {
            Register::Rax
        };
        Some([register, words, condition, kind, shift])
    }
}

/// Whether a place is one of a read, and not the last check of a specialised handler.
#[inline(always)]
pub const fn is_read(cookie: Packed) -> bool {
    cookie.register(3) != ON_STACK as u8
}

/// Where what is read is in memory. `register`: what the first register of the cookie holds. `None`: that is it.
#[inline(always)]
pub const fn read_from(cookie: Packed, register: u64) -> Option<u64> {
    if cookie.register(3) == IN_MEMORY as u8 {
        Some(register.wrapping_add((words(cookie) * 8) as u64))
    } else {
        None
    }
}

/// Bits of an instruction's argument below the index of the name that is read.
#[inline(always)]
pub const fn read_shift(cookie: Packed) -> u32 {
    cookie.register(4) as u32 & 1
}

#[inline(always)]
const fn words(cookie: Packed) -> i64 {
    ((cookie.register(1) << 4) as i8 >> 4) as i64
}

/// Whether a site of that convention is such a place.
#[inline(always)]
pub const fn is_guard(convention: u8) -> bool {
    convention >= Convention::StackAttribute as u8
}

/// Whether the handler goes on, by the flags at the branch.
#[inline(always)]
pub const fn goes_on(cookie: Packed, flags: u64) -> bool {
    holds(cookie.register(2), flags)
}

/// Address of the end of the value stack. `register`: what the first register of the cookie holds. `None`: that is not in
/// the frame.
#[inline(always)]
pub fn stack_end(cookie: Packed, register: u64, frame: u64) -> Option<u64> {
    let end = register.wrapping_sub((words(cookie) * 8) as u64);
    (end.wrapping_sub(frame) < MAX_FRAME && end & 7 == 0).then_some(end)
}

/// Whether a condition holds (Intel SDM, volume 1, appendix B).
const fn holds(condition: u8, flags: u64) -> bool {
    let (carry, parity, zero) = (flags >> CARRY & 1, flags >> PARITY & 1, flags >> ZERO & 1);
    let less = (flags >> SIGN ^ flags >> OVERFLOW) & 1;
    let is = match condition >> 1 & 7 {
        0 => flags >> OVERFLOW & 1,
        1 => carry,
        2 => zero,
        3 => carry | zero,
        4 => flags >> SIGN & 1,
        5 => parity,
        6 => less,
        _ => less | zero,
    };
    is != (condition & 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cookie::SiteCookie;

    /// Flags after `cmp a, b`.
    fn compared(a: i8, b: i8) -> u64 {
        let difference = a.wrapping_sub(b);
        let overflow = a.checked_sub(b).is_none();
        u64::from((a as u8) < b as u8) << CARRY
            | u64::from((difference as u8).count_ones().is_multiple_of(2)) << PARITY
            | u64::from(difference == 0) << ZERO
            | u64::from(difference < 0) << SIGN
            | u64::from(overflow) << OVERFLOW
    }

    #[test]
    fn conditions_are_those_of_comparisons() {
        for a in i8::MIN..=i8::MAX {
            for b in i8::MIN..=i8::MAX {
                let flags = compared(a, b);
                let (x, y) = (a as u8, b as u8);
                let expected = [
                    a.checked_sub(b).is_none(),
                    x < y,
                    a == b,
                    x <= y,
                    a.wrapping_sub(b) < 0,
                    (a.wrapping_sub(b) as u8).count_ones().is_multiple_of(2),
                    a < b,
                    a <= b,
                ];
                for (n, expected) in expected.into_iter().enumerate() {
                    assert_eq!(holds(2 * n as u8, flags), expected, "{n} {a} {b}");
                    assert_eq!(holds(2 * n as u8 + 1, flags), !expected, "{n} {a} {b}");
                }
            }
        }
    }

    fn cookie(registers: [Register; COOKIE_REGISTERS], convention: Convention) -> Packed {
        Packed(SiteCookie::plain(registers, convention).pack())
    }

    #[test]
    fn a_place_of_a_read_survives_packing() {
        for (source, shifted, from) in [
            (Source::Register(Register::R15), true, None),
            (Source::Register(Register::Rax), false, None),
            (Source::Memory(Register::R8, -8), false, Some(0x7000 - 64)),
            (Source::Memory(Register::Rbx, 7), true, Some(0x7000 + 56)),
        ] {
            let read = Read {
                source,
                condition: 5,
                shifted,
            };
            let packed = cookie(read.pack().unwrap(), Convention::StackAttribute);
            assert!(is_read(packed));
            assert_eq!(read_from(packed, 0x7000), from);
            assert_eq!(read_shift(packed), u32::from(shifted));
            assert!(goes_on(packed, 0) && !goes_on(packed, 1 << ZERO));
        }
        let far = Source::Memory(Register::Rax, 8);
        let read = |source, condition| Read {
            source,
            condition,
            shifted: false,
        };
        assert_eq!(read(far, 5).pack(), None);
        assert_eq!(read(Source::Register(Register::Rax), 16).pack(), None);
    }

    #[test]
    fn a_place_survives_packing_and_the_stack_has_to_be_the_frames() {
        for words in -8..8 {
            let guard = Guard {
                stack: Register::R13,
                words,
                condition: 15,
            };
            let packed = cookie(guard.pack().unwrap(), Convention::StackItem);
            assert!(!is_read(packed));
            assert!(is_guard(packed.convention()));
            assert_eq!(packed.register(0), Register::R13 as u8);
            assert!(goes_on(packed, 0) && !goes_on(packed, 1 << ZERO));
            let end = 0x7000u64.wrapping_sub((i64::from(words) * 8) as u64);
            assert_eq!(stack_end(packed, 0x7000, 0x6000), Some(end));
            assert_eq!(stack_end(packed, 0x7001, 0x6000), None);
            assert_eq!(stack_end(packed, 0x7000, 0x9000), None);
            assert_eq!(stack_end(packed, 0x700_7000, 0x6000), None);
        }
        let guard = Guard {
            stack: Register::Rbx,
            words: 8,
            condition: 4,
        };
        assert_eq!(guard.pack(), None);
        assert!(!is_guard(Convention::Compare as u8));
    }
}
