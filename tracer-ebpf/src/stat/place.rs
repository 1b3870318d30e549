//! Which [`Aggregate`](tracer_common::aggregate::Aggregate) a call belongs to.

use aya_ebpf::bindings::BPF_NOEXIST;
use tracer_common::{
    aggregate::{Calls, MAX_PLACES, PlaceKey, REMEMBERED, Remembered},
    encode::{Slot, place},
    fingerprint::mix,
    limits::USUAL_SITES,
    wire::{KIND_PLACE, RecordHeader},
};

use crate::{
    atomic, codes, filter,
    maps::{AGGREGATES, PLACES},
    memory::User,
    probe::Hit,
    record::send,
};

/// No index.
pub const NONE: u64 = 1 << 32;

/// The index for a call from that frame, by that type; where the place is not known, or there are too many, that of its site.
#[inline(always)]
pub fn of(slot: &mut Slot, hit: &mut Hit, frame: u64, ty: u64, calls: &mut Calls) -> u64 {
    let site = hit.cookie.site();
    let [code, instruction] = place(slot, hit.target, &mut User, frame);
    if code == 0 {
        return site as u64;
    }
    let key = [
        (hit.cookie.target() as u64) << 32 | site as u64,
        mix(code, ty),
        instruction,
    ];
    let remembered = &mut calls.remembered[site as usize & (REMEMBERED - 1)];
    if remembered.key == key {
        return remembered.index;
    }
    let found = known(&key);
    let index = if found != NONE { found } else { new(&key, hit) };
    *remembered = Remembered { key, index };
    index
}

#[inline(always)]
fn known(key: &PlaceKey) -> u64 {
    // SAFETY: the value is one word, written before it can be found.
    unsafe { PLACES.get(key) }.map_or(NONE, |index| *index)
}

/// Gives a new place its index.
#[inline(never)]
fn new(key: &PlaceKey, hit: &mut Hit) -> u64 {
    let site = hit.cookie.site() as u64;
    let place = atomic::fetch_add(&mut hit.control.places, 1);
    if place >= MAX_PLACES as u64 {
        return site;
    }
    let index = USUAL_SITES as u64 + place;
    if let Some(aggregate) = AGGREGATES.get_ptr_mut(index as u32) {
        // SAFETY: map values live as long as the program; nobody else has this index yet.
        unsafe { (*aggregate).site = site };
    }
    match PLACES.insert(key, index, BPF_NOEXIST as u64) {
        Ok(()) => index,
        // Another thread was there first; this number stays without a place.
        Err(_) => {
            let found = known(key);
            if found == NONE { site } else { found }
        }
    }
}

/// Sends what names a place to the daemon, as soon as it can be.
#[inline(always)]
pub fn tell(slot: &mut Slot, hit: &mut Hit, index: u64, ty: u64) {
    if index < USUAL_SITES as u64 {
        return;
    }
    write_frame(slot, hit);
    name_code(slot, hit);
    send_place(slot, hit, index, ty);
}

#[inline(never)]
fn write_frame(slot: &mut Slot, hit: &Hit) -> u64 {
    let frame = slot.innermost;
    filter::frames(slot, hit.target, hit.cookie.target(), frame) as u64
}

#[inline(never)]
fn name_code(slot: &mut Slot, hit: &Hit) -> u64 {
    let whose = (hit.cookie.target(), hit.tid);
    codes::send_new(slot, hit.target, hit.control, User, whose, 1);
    0
}

#[inline(never)]
fn send_place(slot: &mut Slot, hit: &Hit, index: u64, ty: u64) -> u64 {
    let header = RecordHeader {
        kind: KIND_PLACE,
        target: hit.cookie.target() as u16,
        site: hit.cookie.site(),
        tid: hit.tid,
        time_ns: ty,
        sp: index,
        ..RecordHeader::default()
    };
    if slot.frames != 0
        && send(slot, header)
        && let Some(aggregate) = AGGREGATES.get_ptr_mut(index as u32)
    {
        // SAFETY: map values live as long as the program; one word, which only ever becomes 1.
        unsafe { (&raw mut (*aggregate).told).write_volatile(1) };
    }
    0
}
