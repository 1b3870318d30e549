//! A probe on what executes extension modules, entered and left by one program (Linux 6.13). At the entry the module's name
//! tells whether C stacks are going to be switched: then no return of the process may be probed any more, from this
//! instruction on, and not only from when the daemon hears of it.

use crate::cookie::Register;

/// Where the first argument of a function that executes a module is, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// The module object (`_imp.exec_dynamic`, `_imp.exec_builtin`: Python/import.c, 3.5+).
    Object(Register),
    /// Its name, a C string (`_PyImport_FixupExtension`: Python/import.c at v2.7.18).
    Name(Register),
}

/// Attach cookie of such a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadCookie {
    /// Index of the process.
    pub target: u8,
    /// Stop the process when a module is there.
    pub stop: bool,
    pub module: Module,
}

const STOP: u64 = 1 << 8;
const NAME: u64 = 1 << 9;
const REGISTER_SHIFT: u32 = 16;

impl LoadCookie {
    /// The cookie as the kernel keeps it.
    pub const fn pack(self) -> u64 {
        let (register, name) = match self.module {
            Module::Object(register) => (register, 0),
            Module::Name(register) => (register, NAME),
        };
        self.target as u64 | if self.stop { STOP } else { 0 } | name | (register as u64) << REGISTER_SHIFT
    }
}

/// The packed cookie, as the kernel half reads it.
#[derive(Clone, Copy)]
pub struct Packed(pub u64);

impl Packed {
    /// Index of the process.
    #[inline(always)]
    pub const fn target(self) -> u32 {
        self.0 as u8 as u32
    }

    #[inline(always)]
    pub const fn stops(self) -> bool {
        self.0 & STOP != 0
    }

    /// Whether the argument is a C string.
    #[inline(always)]
    pub const fn is_name(self) -> bool {
        self.0 & NAME != 0
    }

    /// The register that the argument is in.
    #[inline(always)]
    pub const fn register(self) -> usize {
        (self.0 >> REGISTER_SHIFT & 15) as usize
    }
}

/// Words of a name that are looked at.
pub const NAME_WORDS: usize = 4;

/// Whether a module of that name switches C stacks, or needs one that does: `greenlet._greenlet` (`greenlet` before 1.0),
/// `gevent._gevent_cgreenlet`.
#[inline(always)]
pub const fn switches_stacks(name: [u64; NAME_WORDS]) -> bool {
    const WANTED: u64 = u64::from_le_bytes(*b"greenlet");
    let mut at = 0;
    while at <= 8 * (NAME_WORDS - 1) {
        let (word, shift) = (at / 8, 8 * (at % 8) as u32);
        let window = if shift == 0 {
            name[word]
        } else {
            name[word] >> shift | name[word + 1] << (64 - shift)
        };
        if window == WANTED {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str) -> [u64; NAME_WORDS] {
        let mut bytes = [0; 8 * NAME_WORDS];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        core::array::from_fn(|n| u64::from_le_bytes(core::array::from_fn(|i| bytes[8 * n + i])))
    }

    #[test]
    fn modules_that_switch_stacks_are_known_by_name() {
        for name in [
            "greenlet._greenlet",
            "greenlet",
            "gevent._gevent_cgreenlet",
            "some_vendors_copy_of_a.greenlet",
        ] {
            assert!(switches_stacks(words(name)), "{name}");
        }
        for name in [
            "_socket",
            "numpy.core._multiarray_umath",
            "green",
            "greenle.t",
            "",
        ] {
            assert!(!switches_stacks(words(name)), "{name}");
        }
    }

    #[test]
    fn cookies_unpack_to_what_was_packed() {
        for stop in [false, true] {
            for (module, is_name) in [
                (Module::Object(Register::R12), false),
                (Module::Name(Register::Rdi), true),
            ] {
                let cookie = LoadCookie {
                    target: 201,
                    stop,
                    module,
                };
                let packed = Packed(cookie.pack());
                let (Module::Object(register) | Module::Name(register)) = module;
                assert_eq!(
                    (
                        packed.target(),
                        packed.stops(),
                        packed.is_name(),
                        packed.register()
                    ),
                    (201, stop, is_name, register as usize)
                );
            }
        }
    }
}
