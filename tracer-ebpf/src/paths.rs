//! Paths of open files, as `d_path` (fs/d_path.c) has them: sent once each, by the call that is the first to use the
//! file. By the time the daemon could look, the descriptor may be closed, or the process gone.

use core::ffi::c_void;

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_loop, bpf_probe_read_kernel},
};
use tracer_common::{
    counters::Control,
    encode::{RECORD_WORDS, Slot},
    fingerprint::{SEED, mix},
    handle::{NAME_MAX, PathOffsets},
    wire::{KIND_PATH, RecordHeader},
};

use crate::{
    handle::read,
    maps::{OFFSETS, PATHS},
    memory::masked,
    record::send,
    scratch,
};

/// Folders and mounts on the way to the root, at most.
const MAX_TURNS: u32 = 128;
/// Words that a name takes.
const NAME_WORDS: u32 = (NAME_MAX + 1) / 8 + 1;
/// The word of the record that says whether the file belongs to no folder.
const DETACHED: u32 = (RecordHeader::SIZE / 8) as u32 + 3;

/// An open file.
pub struct Found {
    /// Stands for the inode under the name, in the folder.
    pub name: u64,
    number: u64,
    mode: u64,
    mount: u64,
    dentry: u64,
}

/// A `struct dentry`'s parent, and the hash and length of its name.
#[inline(always)]
fn entry(o: &PathOffsets, dentry: u64) -> Option<[u64; 2]> {
    Some([read(dentry, o.parent)?, read(dentry, o.name + o.hash_len)?])
}

/// The path of a file. `inode`: its number, generation and device, mode.
#[inline(always)]
pub fn find(o: &PathOffsets, file: u64, inode: [u64; 3]) -> Option<Found> {
    if o.known == 0 {
        return None;
    }
    let mount: u64 = read(file, o.path + o.path_mount)?;
    let dentry: u64 = read(file, o.path + o.path_dentry)?;
    let [parent, hash_len] = entry(o, dentry)?;
    let mut name = SEED;
    for word in [inode[0], inode[1], mount, dentry, parent, hash_len] {
        name = mix(name, word);
    }
    Some(Found {
        name,
        number: inode[0],
        mode: inode[2] & 0xffff,
        mount,
        dentry,
    })
}

/// Sends the path, unless it was sent before.
#[inline(always)]
pub fn send_new(found: &Found, control: &Control, index: u32, tid: u32) {
    let key = mix(found.name, bpf_get_current_pid_tgid() >> 32);
    // SAFETY: map values are bytes.
    if unsafe { PATHS.get(key) }.is_some() {
        return;
    }
    // Without a second slot, or room for the record, the daemon looks itself, if it still can.
    let Some(record) = scratch::take(control) else {
        return;
    };
    record.reset();
    record.push_word(found.name);
    record.push_word(found.number);
    record.push_word(found.mode);
    record.push_word(0);
    let mut walk = Walk {
        record,
        mount: found.mount,
        dentry: found.dentry,
        whole: 0,
    };
    // SAFETY: `turn` has the signature bpf_loop calls, and the context outlives the loop.
    unsafe {
        bpf_loop(MAX_TURNS, turn as *mut c_void, (&raw mut walk).cast(), 0);
    }
    let header = RecordHeader {
        kind: KIND_PATH,
        target: index as u16,
        tid,
        ..RecordHeader::default()
    };
    if walk.whole != 0 && send(walk.record, header) {
        let _ = PATHS.insert(key, 1, 0);
    }
    scratch::give_back(walk.record);
}

/// From a file outwards.
struct Walk<'a> {
    record: &'a mut Slot,
    mount: u64,
    dentry: u64,
    /// Not 0: nothing is outside any more.
    whole: u64,
}

/// One step outwards; 1 ends the loop.
#[inline(never)]
extern "C" fn turn(_: u32, context: *mut c_void) -> i64 {
    // SAFETY: `send_new` passes its own state.
    let walk = unsafe { &mut *context.cast::<Walk<'_>>() };
    match outwards(walk) {
        Some(()) if walk.whole == 0 => 0,
        _ => 1,
    }
}

#[inline(always)]
fn outwards(walk: &mut Walk<'_>) -> Option<()> {
    let o = &OFFSETS.get(0)?.paths;
    let (mount, dentry) = (walk.mount, walk.dentry);
    if read::<u64>(mount, o.root)? == dentry {
        let mount = mount.wrapping_sub(o.mount);
        let parent: u64 = read(mount, o.mount_parent)?;
        walk.dentry = read(mount, o.mount_point)?;
        walk.mount = parent.wrapping_add(o.mount);
        // The root of the mount namespace is mounted on itself.
        walk.whole = (parent == mount) as u64;
        return Some(());
    }
    let [parent, hash_len] = entry(o, dentry)?;
    push_name(
        walk.record,
        (hash_len >> 32) as u32,
        read(dentry, o.name + o.text)?,
    )?;
    if parent == dentry {
        walk.record.put(DETACHED, 1);
        walk.whole = 1;
    }
    walk.dentry = parent;
    Some(())
}

/// `None`: there is no room.
#[inline(always)]
fn push_name(record: &mut Slot, len: u32, text: u64) -> Option<()> {
    let at = record.len;
    if len > NAME_MAX || at + 1 + NAME_WORDS > RECORD_WORDS as u32 {
        return None;
    }
    let words = len.div_ceil(8);
    record.push_word(len as u64);
    // The copy may end within a word.
    record.put(at + words, 0);
    let start = masked(at + 1, RECORD_WORDS as u32 - 1);
    let len = masked(len, NAME_MAX) as u32;
    // SAFETY: `start` is below RECORD_WORDS, and the buffer has twice as many words.
    let done = unsafe {
        let to = record.words.as_mut_ptr().add(start as usize);
        bpf_probe_read_kernel(to.cast(), len, text as *const _)
    };
    record.len = at + 1 + words;
    (done == 0).then_some(())
}
