//! Line tables of all formats.

use super::input::Input;
use crate::decode::linetable::{LineFormat, Lines};

const FORMATS: [LineFormat; 4] = [
    LineFormat::Unsigned,
    LineFormat::Signed,
    LineFormat::Ranges,
    LineFormat::Locations,
];

/// The input: the format, the first line, an instruction to be looked up, and the table.
pub fn lines(data: &[u8]) {
    let mut input = Input::new(data);
    let format = input.one_of(&FORMATS);
    let first_line = input.u64() as u32;
    let instruction = input.u64() as i32;
    let lines = Lines::decode(format, input.rest(), first_line);
    assert_eq!(lines.at(-1), Some(first_line));
    // Instructions of one run have one line: looked up one by one they are those of the runs in order.
    let unit = if format == LineFormat::Ranges { 2 } else { 1 };
    let mut start = 0;
    for (end, line) in lines.runs().take(MAX_RUNS) {
        assert!(end >= start, "runs are in order");
        // The first instruction that begins in the run, if one does.
        let first = start.div_ceil(unit);
        if u64::from(first) * u64::from(unit) < u64::from(end)
            && let Ok(first) = i32::try_from(first)
        {
            assert_eq!(lines.at(first), line);
        }
        start = end;
    }
    for instruction in [instruction, 0, i32::MAX, i32::MIN] {
        let _ = lines.at(instruction);
    }
}

/// Runs that are looked up one by one.
const MAX_RUNS: usize = 1000;
