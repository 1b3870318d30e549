//! What the kernel knows of a file descriptor.

use aya_ebpf::helpers::{bpf_get_current_task, generated::bpf_probe_read_kernel};
use tracer_common::{
    encode::Slot,
    handle::{
        AF_INET, AF_INET6, AF_UNIX, FileOffsets, HANDLE_WORDS, KernelOffsets, UNIX_NAME_WORDS, is_socket,
        word,
    },
    wire::{Tag, value_word},
};

use crate::{
    maps::OFFSETS,
    paths::{self, Found},
};

/// Words that [`tracer_common::encode::begin_handle`] has not written.
const WORDS: usize = HANDLE_WORDS - word::INODE;

/// Reads kernel memory.
#[inline(always)]
pub fn read<T: Copy + Default>(address: u64, offset: u64) -> Option<T> {
    let mut value = T::default();
    let from = address.wrapping_add(offset) as *const _;
    // SAFETY: the buffer has the size of the value; the helper checks the address.
    let done = unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from) };
    (done == 0).then_some(value)
}

/// Writes the rest of a handle: zeros where the descriptor is not open. The path, where it is not a socket.
#[inline(always)]
pub fn finish(slot: &mut Slot, fd: u32) -> Option<Found> {
    let offsets = OFFSETS.get(0).filter(|offsets| offsets.files.known != 0);
    let file = offsets.and_then(|offsets| Some((offsets, open_file(&offsets.files, fd)?)));
    let mut words = file
        .and_then(|(offsets, file)| of_file(&offsets.files, file))
        .unwrap_or_default();
    let kind = words[word::KIND - word::INODE];
    let mut found = None;
    if let Some((offsets, file)) = file
        && !is_socket(kind as u16)
        && kind != 0
    {
        let [inode, device] = [words[0], words[word::DEVICE - word::INODE]];
        found = paths::find(&offsets.paths, file, [inode, device, kind]);
        if let Some(found) = &found {
            words[word::LOCAL - word::INODE] = found.name;
        }
    }
    for word in words {
        slot.push_word(word);
    }
    if (kind >> 16) as u16 == AF_UNIX
        && let Some((offsets, file)) = file
    {
        let _ = peer_name(slot, offsets, file);
    }
    found
}

/// Writes what the other end of a connected Unix socket is bound to, if it is (`unix_getname`, net/unix/af_unix.c).
#[inline(always)]
fn peer_name(slot: &mut Slot, o: &KernelOffsets, file: u64) -> Option<()> {
    let unix = &o.unix;
    if unix.known == 0 {
        return None;
    }
    let socket: u64 = read(file, o.files.private_data)?;
    let sock: u64 = read(socket, o.files.sock)?;
    let peer: u64 = read(sock, unix.peer)?;
    if peer == 0 {
        return None;
    }
    let address: u64 = read(peer, unix.address)?;
    if address == 0 {
        return None;
    }
    let len = read::<u32>(address, unix.len)?.checked_sub(2)?;
    if len == 0 || len as usize > UNIX_NAME_WORDS * 8 {
        return None;
    }
    let start = slot.len;
    slot.push_word(value_word(Tag::PeerName, 0, len));
    let mut left = len;
    for n in 0..UNIX_NAME_WORDS as u64 {
        // After the family, `sa_family_t`.
        let word: u64 = if left == 0 {
            0
        } else {
            read(address, unix.name + 2 + n * 8).unwrap_or(0)
        };
        let (word, rest) = if left < 8 {
            (word & ((1u64 << (8 * left)) - 1), 0)
        } else {
            (word, left - 8)
        };
        left = rest;
        slot.push_word(word);
    }
    // A peer that was let go meanwhile may have been another one's memory.
    if read(sock, unix.peer) != Some(peer) || read(peer, unix.address) != Some(address) {
        slot.len = start;
    }
    Some(())
}

/// The `struct file` of a descriptor of the running task (`files_lookup_fd_raw`, include/linux/fdtable.h).
#[inline(always)]
fn open_file(o: &FileOffsets, fd: u32) -> Option<u64> {
    // SAFETY: the helper has no preconditions.
    let task = unsafe { bpf_get_current_task() };
    let files: u64 = read(task, o.files)?;
    let table: u64 = read(files, o.fdt)?;
    if fd >= read::<u32>(table, o.max_fds)? {
        return None;
    }
    let array: u64 = read(table, o.fd)?;
    let file: u64 = read(array, fd as u64 * 8)?;
    (file != 0).then_some(file)
}

#[inline(always)]
fn of_file(o: &FileOffsets, file: u64) -> Option<[u64; WORDS]> {
    let mut words = [0u64; WORDS];
    let inode: u64 = read(file, o.inode)?;
    let mode: u16 = read(inode, o.mode)?;
    let superblock: u64 = read(inode, o.superblock)?;
    let device: u32 = read(superblock, o.device)?;
    let generation: u32 = read(inode, o.generation)?;
    words[0] = read(inode, o.number)?;
    words[word::DEVICE - word::INODE] = (generation as u64) << 32 | device as u64;
    words[word::KIND - word::INODE] = mode as u64;
    if is_socket(mode) {
        // What of it cannot be read stays 0.
        let _ = of_socket(o, file, &mut words);
    }
    Some(words)
}

#[inline(always)]
fn of_socket(o: &FileOffsets, file: u64, words: &mut [u64; WORDS]) -> Option<()> {
    let socket: u64 = read(file, o.private_data)?;
    let sock: u64 = read(socket, o.sock)?;
    let family: u16 = read(sock, o.family)?;
    words[word::KIND - word::INODE] |= (family as u64) << 16;
    if family != AF_INET && family != AF_INET6 {
        return None;
    }
    let local_port: u16 = read(sock, o.local_port)?;
    let remote_port: u16 = read(sock, o.remote_port)?;
    words[word::KIND - word::INODE] |= (local_port as u64) << 32 | (remote_port as u64) << 48;
    let (local, remote): ([u64; 2], [u64; 2]) = if family == AF_INET {
        let local: u32 = read(sock, o.local)?;
        let remote: u32 = read(sock, o.remote)?;
        ([local as u64, 0], [remote as u64, 0])
    } else {
        (read(sock, o.local6)?, read(sock, o.remote6)?)
    };
    words[word::LOCAL - word::INODE] = local[0];
    words[word::LOCAL - word::INODE + 1] = local[1];
    words[word::REMOTE - word::INODE] = remote[0];
    words[word::REMOTE - word::INODE + 1] = remote[1];
    Some(())
}
