//! Whether a process's code is as its files have it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

/// Bytes compared of one mapping at most.
const MOST: u64 = 64 << 20;

/// Fails if any executable mapping of a file differs from the file: a breakpoint was left.
pub fn assert_no_breakpoints(pid: u32) {
    assert_eq!(differences(pid), Vec::<String>::new());
}

/// Waits until no executable mapping differs from its file: the kernel takes a killed tracer's probes out when it
/// closes the links, which it may do a little later.
pub fn breakpoints_go(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let differ = differences(pid);
        if differ.is_empty() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "breakpoints are still there: {differ:?}"
        );
    }
}

/// The mappings that differ.
pub fn differences(pid: u32) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("the process lives");
    let memory = File::open(format!("/proc/{pid}/mem")).expect("the process can be read");
    maps.lines()
        .filter(|line| differs(line, &memory) == Some(true))
        .map(str::to_owned)
        .collect()
}

fn differs(line: &str, memory: &File) -> Option<bool> {
    let mut fields = line.split_whitespace();
    let (range, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let path = fields.nth(2)?;
    if !permissions.contains('x') || !Path::new(path).is_file() {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let (start, end) = (
        u64::from_str_radix(start, 16).ok()?,
        u64::from_str_radix(end, 16).ok()?,
    );
    let offset = u64::from_str_radix(offset, 16).ok()?;
    let mut in_memory = vec![0; (end - start).min(MOST) as usize];
    memory.read_exact_at(&mut in_memory, start).ok()?;
    let mut in_file = vec![0; in_memory.len()];
    let len = File::open(path).ok()?.read_at(&mut in_file, offset).ok()?;
    Some(in_memory[..len] != in_file[..len])
}
