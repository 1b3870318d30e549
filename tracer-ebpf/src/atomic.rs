//! Atomic operations on map values. `core::sync::atomic` has no read-modify-write for BPF
//! targets (they report no compare-and-swap), the instruction set does.

use core::arch::asm;

/// Adds `n` to `*counter`.
#[inline(always)]
pub fn add(counter: &mut u64, n: u64) {
    // SAFETY: `counter` is a valid, aligned u64 in a map value; `lock` makes the addition atomic.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) core::ptr::from_mut(counter), in(reg) n);
    }
}

/// Writes `n` to `*place`; what was there before.
#[inline(always)]
pub fn swap(place: &mut u64, n: u64) -> u64 {
    let mut value = n;
    // SAFETY: as in `add`; `xchg_64` exchanges register and memory atomically (kernel 5.12+).
    unsafe {
        asm!("{1} = xchg_64({0} + 0, {1})", in(reg) core::ptr::from_mut(place), inout(reg) value);
    }
    value
}

/// Adds `n` to `*counter`; what was there before.
#[inline(always)]
pub fn fetch_add(counter: &mut u64, n: u64) -> u64 {
    let mut value = n;
    // SAFETY: as in `add`; with the old value fetched (kernel 5.12+).
    unsafe {
        asm!("{1} = atomic_fetch_add((u64 *)({0} + 0), {1})", in(reg) core::ptr::from_mut(counter), inout(reg) value);
    }
    value
}

/// Makes `*place` at least `n`.
#[inline(always)]
pub fn max(place: &mut u64, n: u64) {
    let mut largest = n;
    // Whoever finds a larger one than it brought puts that back. Two that meet for ever do not exist; the verifier wants a bound.
    for _ in 0..4 {
        // SAFETY: a valid, aligned u64 in a map value.
        if unsafe { core::ptr::from_mut(place).read_volatile() } >= largest {
            return;
        }
        largest = swap(place, largest);
    }
}
