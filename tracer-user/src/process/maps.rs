//! `/proc/PID/maps`, line by line: `start-end perms offset major:minor inode path` (proc_pid_maps(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Mappings kept at most: the kernel's own default limit (`vm.max_map_count`) is 65,530.
pub const MAX_MAPPINGS: usize = 1 << 20;

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// `rwxp`, as the kernel prints it.
    pub perms: [u8; 4],
    /// Offset of `start` in the file.
    pub offset: u64,
    /// Device, major and minor.
    pub dev: (u32, u32),
    /// 0: no file.
    pub inode: u64,
    /// The file as the process sees it (without the kernel's ` (deleted)`), or a name in brackets.
    pub path: Option<PathBuf>,
    /// The file has no name any more.
    pub deleted: bool,
}

impl Mapping {
    pub fn readable(&self) -> bool {
        self.perms[0] == b'r'
    }

    pub fn executable(&self) -> bool {
        self.perms[2] == b'x'
    }

    /// Is there a file behind it (not the heap, a stack, `[vdso]` …)?
    pub fn is_file(&self) -> bool {
        self.inode != 0
    }
}

/// Parses the whole file. A line that does not parse is left out: one odd line must not
/// hide the rest.
pub fn parse(text: &[u8]) -> Vec<Mapping> {
    text.split(|byte| *byte == b'\n')
        .filter_map(line)
        .take(MAX_MAPPINGS)
        .collect()
}

fn line(line: &[u8]) -> Option<Mapping> {
    let mut rest = line;
    let (start, end) = pair(word(&mut rest)?, '-')?;
    let perms = word(&mut rest)?.as_bytes().try_into().ok()?;
    let offset = u64::from_str_radix(word(&mut rest)?, 16).ok()?;
    let (major, minor) = pair(word(&mut rest)?, ':')?;
    let inode = word(&mut rest)?.parse().ok()?;
    let path = rest.trim_ascii_start();
    // Only for files: a name in brackets never carries the suffix.
    let (path, deleted) = match path.strip_suffix(b" (deleted)") {
        Some(path) if inode != 0 => (path, true),
        _ => (path, false),
    };
    (start < end).then(|| Mapping {
        start,
        end,
        perms,
        offset,
        dev: (major as u32, minor as u32),
        inode,
        path: (!path.is_empty()).then(|| PathBuf::from(OsString::from_vec(unescape(path)))),
        deleted,
    })
}

/// Takes the next word off a line.
fn word<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let line = rest.trim_ascii_start();
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let (word, after) = line.split_at(end);
    *rest = after;
    str::from_utf8(word).ok().filter(|word| !word.is_empty())
}

fn pair(word: &str, separator: char) -> Option<(u64, u64)> {
    let (a, b) = word.split_once(separator)?;
    Some((u64::from_str_radix(a, 16).ok()?, u64::from_str_radix(b, 16).ok()?))
}

/// The kernel writes a newline in a file name as `\012`, and nothing else that way
/// (fs/proc/task_mmu.c: `seq_path(m, …, "\n")`).
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(byte) = rest.first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            out.push(b'\n');
            rest = after;
        } else {
            out.push(*byte);
            rest = &rest[1..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_deleted_file_and_no_file() {
        let maps = parse(
            b"00400000-00420000 r-xp 00001000 fe:01 1234                       /usr/bin/my python3\n\
              7f0000000000-7f0000001000 rw-p 00000000 00:05 9 /tmp/a\\012b (deleted)\n\
              7fff00000000-7fff00001000 rw-p 00000000 00:00 0          [stack]\n\
              7fff10000000-7fff10001000 ---p 00000000 00:00 0 \n",
        );
        assert_eq!(maps.len(), 4);
        assert_eq!(
            (maps[0].start, maps[0].end, maps[0].offset),
            (0x400000, 0x420000, 0x1000)
        );
        assert_eq!((maps[0].dev, maps[0].inode), ((0xfe, 1), 1234));
        assert!(maps[0].executable() && maps[0].is_file() && !maps[0].deleted);
        assert_eq!(maps[0].path, Some("/usr/bin/my python3".into()));
        assert_eq!(maps[1].path, Some("/tmp/a\nb".into()));
        assert!(maps[1].deleted && !maps[1].executable());
        assert_eq!(maps[2].path, Some("[stack]".into()));
        assert_eq!(maps[3].path, None);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        let good = "1000-2000 r--p 00000000 00:00 0";
        for bad in [
            "",
            "x",
            "1000",
            "1000-",
            "2000-1000 r--p 0 00:00 0",
            "1000-2000 r-- 0 00:00 0",
            "1000-2000 r--p 0 00:00 -1",
            "11112222333344445-2 r--p 0 00:00 0",
            "\u{fffd}-\u{fffd} r--p 0 00:00 0",
            "1000-2000 r--p 0 0000 0",
        ] {
            assert_eq!(parse(format!("{bad}\n{good}").as_bytes()).len(), 1, "{bad:?}");
        }
    }
}
