//! Where fields are in the running kernel's structs, from the kernel's own type information
//! (`/sys/kernel/btf/vmlinux`; the format is described in the kernel's Documentation/bpf/btf.rst).

use std::{fs::File, io, io::Read as _};

use tracer_common::{handle::KernelOffsets, watch::TaskOffsets};

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Distributions' are about 6 MB.
const MAX_BTF: u64 = 256 << 20;
/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;

/// The kernel's type information.
pub(super) struct Btf(Vec<u8>);

impl Btf {
    /// Reads it.
    pub(super) fn read() -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(BTF)?.take(MAX_BTF).read_to_end(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// What holding processes and following forks needs.
    pub(super) fn task(&self) -> io::Result<TaskOffsets> {
        let types = Types::new(&self.0);
        let offset = |structure, member| types.as_ref()?.offset(structure, member);
        let found = (|| {
            Some(TaskOffsets {
                tgid: offset("task_struct", "tgid")?,
                blocked: offset("task_struct", "blocked")?,
                sighand: offset("task_struct", "sighand")?,
                action: offset("sighand_struct", "action")?,
                real_parent: offset("task_struct", "real_parent")?,
                signal: offset("task_struct", "signal")?,
                pids: offset("signal_struct", "pids")?,
                follow: 0,
            })
        })();
        found.ok_or_else(|| {
            io::Error::other(format!(
                "{BTF} does not say where task_struct has its ids and signals"
            ))
        })
    }

    /// Where a task has the base of its `fs` segment (`thread.fsbase`), which it was given when the thread began.
    pub(super) fn fs_base(&self) -> io::Result<u64> {
        let types = Types::new(&self.0);
        let offset = |structure, member| types.as_ref()?.offset(structure, member);
        let found = (|| Some(offset("task_struct", "thread")? + offset("thread_struct", "fsbase")?))();
        found.ok_or_else(|| {
            io::Error::other(format!("{BTF} does not say where task_struct has thread.fsbase"))
        })
    }

    /// What looking at file descriptors needs, as far as it is where it is in the kernels that are known.
    pub(super) fn files(&self) -> KernelOffsets {
        let types = Types::new(&self.0);
        KernelOffsets::from_lookup(|structure, member| types.as_ref()?.offset(structure, member))
    }
}

/// `btf_kind` numbers whose records are longer than their first three words.
fn tail(kind: u32, vlen: usize) -> Option<usize> {
    Some(match kind {
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        2 | 7..=12 | 16 | 18 => 0,
        // INT, VAR, DECL_TAG
        1 | 14 | 17 => 4,
        // ARRAY
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64
        STRUCT | 5 | 15 | 19 => vlen * MEMBER,
        // ENUM, FUNC_PROTO
        6 | 13 => vlen * 8,
        _ => return None,
    })
}

const STRUCT: u32 = 4;
/// Bytes of one `btf_member`: name, type, offset in bits.
const MEMBER: usize = 12;
/// Bytes of `btf_type`: name, info, size or type.
const TYPE: usize = 12;

/// Anonymous structs and unions in one another, at most.
const MAX_NESTED: u32 = 8;
const UNION: u32 = 5;

/// All types, by id.
struct Types<'a> {
    texts: &'a [u8],
    types: &'a [u8],
    /// Where each type begins in `types`; ids count from 1.
    at: Vec<usize>,
}

impl<'a> Types<'a> {
    fn new(btf: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = word(btf, 4)?;
        let section = |at: usize| {
            let start = header.checked_add(word(btf, at)?)?;
            btf.get(start..start.checked_add(word(btf, at + 4)?)?)
        };
        let (types, texts) = (section(8)?, section(16)?);
        let mut all = Vec::new();
        let mut at = 0;
        while at + TYPE <= types.len() {
            all.push(at);
            let info = word(types, at + 4)? as u32;
            at += TYPE + tail(info >> 24 & 0x1f, (info & 0xffff) as usize)?;
        }
        Some(Self {
            texts,
            types,
            at: all,
        })
    }

    /// Offset in bytes of a struct's member, those of anonymous structs in it included.
    fn offset(&self, structure: &str, member: &str) -> Option<u64> {
        let named = |at: &&usize| {
            let is_struct = word(self.types, **at + 4).is_some_and(|info| info as u32 >> 24 & 0x1f == STRUCT);
            is_struct && self.name(**at) == Some(structure.as_bytes())
        };
        let mut all = self.at.iter().filter(named);
        all.find_map(|at| self.member(*at, member.as_bytes(), 0))
            .map(|bits| bits / 8)
    }

    fn name(&self, at: usize) -> Option<&[u8]> {
        text(self.texts, word(self.types, at)?)
    }

    /// Offset in bits.
    fn member(&self, at: usize, name: &[u8], depth: u32) -> Option<u64> {
        let info = word(self.types, at + 4)? as u32;
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        if (kind != STRUCT && kind != UNION) || depth > MAX_NESTED {
            return None;
        }
        let members = self.types.get(at + TYPE..at + TYPE + vlen * MEMBER)?;
        members.chunks_exact(MEMBER).find_map(|member| {
            let found = text(self.texts, word(member, 0)?)?;
            // With bit fields in the struct (`kind_flag`) the upper byte is a width.
            let bits = word(member, 8)? & if info >> 31 == 1 { 0x00ff_ffff } else { usize::MAX };
            if found == name {
                return Some(bits as u64);
            }
            if !found.is_empty() {
                return None;
            }
            let inner = self.at.get(word(member, 4)?.checked_sub(1)?)?;
            Some(bits as u64 + self.member(*inner, name, depth + 1)?)
        })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes) as usize)
}

fn text(texts: &[u8], at: usize) -> Option<&[u8]> {
    texts.get(at..)?.split(|byte| *byte == 0).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_says_where_it_is() {
        if !std::path::Path::new(BTF).exists() {
            eprintln!("skipped: no {BTF}");
            return;
        }
        let btf = Btf::read().unwrap();
        let task = btf.task().unwrap();
        for offset in [
            task.tgid,
            task.blocked,
            task.sighand,
            task.real_parent,
            task.signal,
        ] {
            assert!(
                offset > 0 && offset < 16 * 1024 && offset.is_multiple_of(4),
                "{offset}"
            );
        }
        // include/linux/sched/signal.h: a lock, a counter and a queue come before it.
        assert!(task.action > 0 && task.action < 256, "{}", task.action);
        assert!(task.pids > 0 && task.pids < 4096, "{}", task.pids);
        let KernelOffsets { files, unix, paths } = btf.files();
        assert_eq!((files.known, unix.known, paths.known), (1, 1, 1));
        // include/net/sock.h: addresses come first, the ports after them.
        assert_eq!((files.remote, files.local, files.remote_port), (0, 4, 12));
        assert_eq!((files.local_port, files.family), (14, 16));
        assert!(files.local6 > files.remote6 && files.files > 0);
        // net/af_unix.h: after `struct sock`, and after a counter.
        assert!(unix.peer > unix.address && unix.address > files.local6);
        assert_eq!((unix.len, unix.name), (4, 8));
        // include/linux/dcache.h, include/linux/path.h, fs/mount.h
        assert!(paths.name > paths.parent);
        assert_eq!((paths.hash_len, paths.text, paths.root), (0, 8, 0));
        assert_eq!((paths.path_mount, paths.path_dentry), (0, 8));
        assert!(paths.mount > paths.mount_point && paths.mount_point > paths.mount_parent);
    }

    #[test]
    fn what_is_no_btf_says_nothing() {
        for bytes in [&b""[..], &[0; 64], &[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]] {
            let types = Types::new(bytes);
            assert_eq!(types.and_then(|types| types.offset("task_struct", "tgid")), None);
        }
    }
}
