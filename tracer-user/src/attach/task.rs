//! Where fields are in the running kernel's `task_struct`, from the kernel's own type information
//! (`/sys/kernel/btf/vmlinux`; the format is described in the kernel's Documentation/bpf/btf.rst).

use std::{fs::File, io, io::Read as _};

use tracer_common::watch::TaskOffsets;

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Distributions' are about 6 MB.
const MAX_BTF: u64 = 256 << 20;
/// `BTF_MAGIC`
const MAGIC: u16 = 0xeb9f;

/// The offsets the kernel half needs.
pub(super) fn offsets() -> io::Result<TaskOffsets> {
    let mut bytes = Vec::new();
    File::open(BTF)?.take(MAX_BTF).read_to_end(&mut bytes)?;
    let tgid = member(&bytes, "task_struct", "tgid")
        .ok_or_else(|| io::Error::other(format!("{BTF} does not say where task_struct.tgid is")))?;
    Ok(TaskOffsets { tgid })
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

/// Offset in bytes of a struct's member.
fn member(btf: &[u8], structure: &str, name: &str) -> Option<u64> {
    if u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?) != MAGIC {
        return None;
    }
    let header = word(btf, 4)?;
    let section = |at: usize| Some((header + word(btf, at)?, word(btf, at + 4)?));
    let (types, types_len) = section(8)?;
    let (texts, texts_len) = section(16)?;
    let types = btf.get(types..types + types_len)?;
    let texts = btf.get(texts..texts + texts_len)?;
    let mut at = 0;
    while at + TYPE <= types.len() {
        let info = word(types, at + 4)? as u32;
        let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let tail = tail(kind, vlen)?;
        let members = types.get(at + TYPE..at + TYPE + tail)?;
        if kind == STRUCT && text(texts, word(types, at)?)? == structure.as_bytes() {
            return members.chunks_exact(MEMBER).find_map(|member| {
                let named = text(texts, word(member, 0)?)? == name.as_bytes();
                // With bit fields in the struct (`kind_flag`) the upper byte is a width.
                let bits = word(member, 8)? & if info >> 31 == 1 { 0x00ff_ffff } else { usize::MAX };
                named.then_some(bits as u64 / 8)
            });
        }
        at += TYPE + tail;
    }
    None
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
        let offset = offsets().unwrap().tgid;
        assert!(
            offset > 0 && offset < 16 * 1024 && offset.is_multiple_of(4),
            "{offset}"
        );
    }

    #[test]
    fn what_is_no_btf_says_nothing() {
        for bytes in [&b""[..], &[0; 64], &[0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(member(bytes, "task_struct", "tgid"), None);
        }
    }
}
