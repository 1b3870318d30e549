//! Scratch slots.
//!
//! A uprobe program can be preempted by another uprobe program on the same CPU (and may
//! sleep), so per-CPU scratch memory would be written by two at once. Instead a program takes a free slot of
//! a small array and gives it back at its end.

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use tracer_common::{counters::Control, encode::Slot};

use crate::{atomic, maps::SLOTS};

/// Slots tried before giving up.
const TRIES: u32 = 32;

/// A slot nobody else uses, or `None` when all that were tried are taken.
#[inline(always)]
pub fn take(control: &Control) -> Option<&'static mut Slot> {
    // SAFETY: the helper has no preconditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    for i in 0..TRIES {
        let slot = SLOTS.get_ptr_mut((cpu * 8 + i) & control.slot_mask as u32)?;
        // SAFETY: the array's values live as long as the program; `busy` is only touched atomically.
        let busy = unsafe { &mut (*slot).busy };
        if atomic::swap(busy, 1) == 0 {
            // SAFETY: the swap made this program the slot's only user until `give_back`.
            return Some(unsafe { &mut *slot });
        }
    }
    None
}

/// Frees a slot taken by [`take`].
#[inline(always)]
pub fn give_back(slot: &mut Slot) {
    // On x86-64 a store is seen after all stores before it.
    // SAFETY: a field of a valid slot; volatile, so that it stays the last store.
    unsafe { (&raw mut slot.busy).write_volatile(0) };
}
