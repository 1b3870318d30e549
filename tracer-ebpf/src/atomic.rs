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
