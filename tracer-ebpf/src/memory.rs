//! Reading the traced process's memory.

use core::arch::asm;

use aya_ebpf::helpers::generated::{bpf_copy_from_user, bpf_probe_read_user, bpf_probe_read_user_str};
use tracer_common::{
    encode::{Memory, RECORD_WORDS, WINDOW_WORDS, WORDS},
    limits::RECORD_MAX,
};

/// The memory of the process whose thread runs the program.
pub struct User;

/// The same for programs that an interrupt runs: they cannot wait, so only what is in memory can be read.
pub struct Resident;

/// `value & mask`, done where the compiler cannot see that it changes nothing: the verifier
/// does not know what the compiler knows.
#[inline(always)]
pub fn masked(value: u32, mask: u32) -> u64 {
    let mut word = value as u64;
    // SAFETY: a register operation.
    unsafe { asm!("{0} &= {1}", inout(reg) word, in(reg) mask as u64) };
    word
}

/// Copies from user memory: at once if it is there, else by faulting it in (sleepable programs may).
#[inline(always)]
fn copy(to: *mut u8, len: u32, from: u64) -> bool {
    // SAFETY: callers pass a buffer of at least `len` bytes; user addresses are checked by the helpers.
    unsafe {
        bpf_probe_read_user(to.cast(), len, from as *const _) == 0
            || bpf_copy_from_user(to.cast(), len, from as *const _) == 0
    }
}

/// Copies from user memory that is there.
#[inline(always)]
fn copy_resident(to: *mut u8, len: u32, from: u64) -> bool {
    // SAFETY: as in `copy`.
    unsafe { bpf_probe_read_user(to.cast(), len, from as *const _) == 0 }
}

/// Brings a page into memory, as the helpers that read texts do not: names of types may be on pages that the
/// program itself has not touched yet.
#[inline(always)]
fn fault_in(address: u64) -> bool {
    let mut byte = 0u8;
    // SAFETY: the buffer is a byte; sleepable programs may fault.
    unsafe { bpf_copy_from_user((&raw mut byte).cast(), 1, address as *const _) == 0 }
}

/// What an interrupt does in its place.
#[inline(always)]
fn leave_out(_: u64) -> bool {
    false
}

/// The first bytes of a C string, if they are in memory.
#[inline(always)]
fn first_bytes(address: u64) -> Option<[u64; 2]> {
    let mut words = [0u64; 2];
    // SAFETY: the buffer is 16 bytes.
    let n = unsafe { bpf_probe_read_user_str(words.as_mut_ptr().cast(), 16, address as *const _) };
    (n > 0).then_some(words)
}

/// Reads by these functions: one that copies, one that brings a page into memory.
macro_rules! memory {
    ($reader:ident, $copy:ident, $fault_in:ident) => {
        impl Memory for $reader {
            #[inline(always)]
            fn words<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
                let mut words = [0u64; N];
                $copy(words.as_mut_ptr().cast(), (N * 8) as u32, address).then_some(words)
            }

            #[inline(always)]
            fn window<const N: usize>(&mut self, to: &mut [u64; WINDOW_WORDS], address: u64) -> bool {
                // Fields are read one by one where this fails, so nothing is faulted in for it.
                // SAFETY: the encoder asserts that N is at most WINDOW_WORDS.
                unsafe {
                    bpf_probe_read_user(to.as_mut_ptr().cast(), (N * 8) as u32, address as *const _) == 0
                }
            }

            #[inline(always)]
            fn start(&mut self, to: &mut [u64; WINDOW_WORDS], len: u32, address: u64) -> bool {
                const { assert!((WINDOW_WORDS * 8).is_power_of_two()) };
                let len = masked(len, WINDOW_WORDS as u32 * 8 - 1) as u32;
                $copy(to.as_mut_ptr().cast(), len, address)
            }

            #[inline(always)]
            fn u32(&mut self, address: u64) -> Option<u32> {
                let mut value = 0u32;
                $copy((&raw mut value).cast(), 4, address).then_some(value)
            }

            #[inline(always)]
            fn u8(&mut self, address: u64) -> Option<u8> {
                let mut value = 0u8;
                $copy(&raw mut value, 1, address).then_some(value)
            }

            #[inline(always)]
            fn short_str(&mut self, address: u64) -> Option<[u64; 2]> {
                let text = first_bytes(address);
                if text.is_some() || !$fault_in(address) {
                    return text;
                }
                // The text may end on the next page.
                $fault_in(address.wrapping_add(15));
                first_bytes(address)
            }

            #[inline(always)]
            fn copy(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> bool {
                let at = masked(at, RECORD_WORDS as u32 - 1);
                let len = masked(len, RECORD_MAX as u32 - 1) as u32;
                // SAFETY: `at` is below RECORD_WORDS and `len` below RECORD_MAX, and the buffer has
                // twice RECORD_WORDS words.
                let to = unsafe { words.as_mut_ptr().add(at as usize) };
                $copy(to.cast(), len, address)
            }

            #[inline(always)]
            fn copy_str(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> u32 {
                let at = masked(at, RECORD_WORDS as u32 - 1);
                let len = masked(len, RECORD_MAX as u32 - 1) as u32;
                // SAFETY: as in `copy`.
                let n = unsafe {
                    let to = words.as_mut_ptr().add(at as usize);
                    bpf_probe_read_user_str(to.cast(), len, address as *const _)
                };
                if n > 0 { n as u32 } else { 0 }
            }
        }
    };
}

memory!(User, copy, fault_in);
memory!(Resident, copy_resident, leave_out);
