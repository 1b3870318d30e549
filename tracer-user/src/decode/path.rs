//! Paths of files, as the kernel half found them.

use tracer_common::{
    handle::{NAME_MAX, is_anonymous, is_fifo},
    wire::padded,
};

use super::record::word;

/// The name that a path record ([`tracer_common::wire::KIND_PATH`]) is about, and the path as `/proc/PID/fd` shows
/// it; `None` if the values are something else.
pub fn named_path(values: &[u8]) -> Option<(u64, String)> {
    let [name, inode, mode, detached] = [0, 1, 2, 3].map(|n| word(values, n));
    let mut rest = values.get(32..)?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        let len = u32::try_from(word(rest, 0)?)
            .ok()
            .filter(|len| *len <= NAME_MAX)?;
        let (text, after) = rest.get(8..)?.split_at_checked(padded(len) as usize)?;
        names.push(String::from_utf8_lossy(text.get(..len as usize)?));
        rest = after;
    }
    names.reverse();
    let (path, mode) = (names.join("/"), mode? as u16);
    // Some files have no folder but a way of their own to be named (`d_dname`, fs/pipe.c, fs/anon_inodes.c).
    let path = match detached? != 0 {
        true if is_fifo(mode) => format!("pipe:[{}]", inode?),
        true if is_anonymous(mode) => format!("anon_inode:{path}"),
        _ => format!("/{path}"),
    };
    Some((name?, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDERS: u64 = 0o100_644;

    fn values(mode: u64, detached: u64, names: &[&str]) -> Vec<u8> {
        let mut values: Vec<u8> = [77, 5, mode, detached]
            .iter()
            .flat_map(|n: &u64| n.to_le_bytes())
            .collect();
        for name in names {
            values.extend((name.len() as u64).to_le_bytes());
            values.extend(name.as_bytes());
            values.resize(values.len().next_multiple_of(8), 0);
        }
        values
    }

    fn whole(path: &str) -> Option<(u64, String)> {
        Some((77, path.to_owned()))
    }

    #[test]
    fn names_from_the_file_outwards_make_a_path() {
        let of = |mode, detached, names: &[&str]| named_path(&values(mode, detached, names));
        assert_eq!(
            of(FOLDERS, 0, &["messages", "log", "var"]),
            whole("/var/log/messages")
        );
        assert_eq!(of(0o40_755, 0, &[]), whole("/"));
        assert_eq!(of(0o600, 1, &["[eventpoll]"]), whole("anon_inode:[eventpoll]"));
        assert_eq!(of(0o100_777, 1, &["memfd:x"]), whole("/memfd:x"));
        assert_eq!(of(0o10_600, 0, &["fifo", "run"]), whole("/run/fifo"));
        assert_eq!(of(0o10_600, 1, &[""]), whole("pipe:[5]"));
    }

    #[test]
    fn what_is_cut_is_no_path() {
        let whole = values(FOLDERS, 0, &["messages", "log"]);
        for len in 0..whole.len() {
            // After a whole name, it is another path.
            assert_eq!(
                named_path(&whole[..len]).is_some(),
                [32, 48].contains(&len),
                "{len}"
            );
        }
        assert_eq!(named_path(&[0xff; 64]), None);
    }
}
