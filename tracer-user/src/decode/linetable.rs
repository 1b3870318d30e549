//! Line tables: from an instruction to its line. CPython wrote them in four formats.

use serde::{Deserialize, Serialize};

/// How a code object says which line an instruction belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LineFormat {
    /// `co_lnotab` of 2.7: pairs of bytes, address and line increments, none of them negative
    /// (Objects/lnotab_notes.txt).
    Unsigned,
    /// `co_lnotab` of 3.6 to 3.9: the line increment is signed.
    Signed,
    /// `co_linetable` of 3.10: pairs of the bytes that a line covers and the signed line increment, -128
    /// for none (Objects/lnotab_notes.txt).
    Ranges,
    /// `co_linetable` of 3.11 and later (Objects/locations.md, InternalDocs/code_objects.md): entries of
    /// a first byte `1cccclll` (c: how the location is written, l: code units covered less one) and the
    /// location's own bytes.
    Locations,
}

/// Runs of instructions and the line each belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    format: LineFormat,
    first_line: u32,
    /// (byte of the code after the run, its line), in order.
    runs: Vec<(u32, Option<u32>)>,
}

// Codes of the first byte (`_PyCodeLocationInfoKind`).
const ONE_LINE0: u8 = 10;
const ONE_LINE2: u8 = 12;
const NO_COLUMNS: u8 = 13;
const LONG: u8 = 14;
const NO_LOCATION: u8 = 15;

/// Bytes of a code unit.
const UNIT: u32 = 2;
/// The line increment of [`LineFormat::Ranges`] that says: no line.
const NO_LINE: i8 = -128;

impl Lines {
    /// Decodes a whole table. Ends early where the table is damaged.
    pub fn decode(format: LineFormat, table: &[u8], first_line: u32) -> Self {
        let mut lines = Self {
            format,
            first_line,
            runs: Vec::new(),
        };
        match format {
            LineFormat::Locations => lines.locations(table),
            LineFormat::Ranges => lines.ranges(table),
            LineFormat::Unsigned => lines.increments(table, i64::from),
            LineFormat::Signed => lines.increments(table, |byte| i64::from(byte as i8)),
        }
        lines
    }

    /// The line of an instruction as [`tracer_common::wire::FrameRecord::instruction`] tells it; before
    /// the first instruction that is the function's own line. `None`: the compiler gave it no line.
    pub fn at(&self, instruction: i32) -> Option<u32> {
        let Ok(instruction) = u32::try_from(instruction) else {
            return Some(self.first_line);
        };
        let at = match self.format {
            LineFormat::Ranges => instruction.saturating_mul(UNIT),
            _ => instruction,
        };
        let run = self.runs.partition_point(|(end, _)| *end <= at);
        self.runs.get(run)?.1
    }

    /// Where each run ends, and its line.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        self.runs.iter().copied()
    }

    fn push(&mut self, end: u32, line: Option<u32>) {
        match self.runs.last_mut() {
            Some(last) if last.1 == line => last.0 = end,
            _ => self.runs.push((end, line)),
        }
    }

    fn locations(&mut self, table: &[u8]) {
        let mut bytes = table.iter().copied();
        let mut line = i64::from(self.first_line);
        let mut end = 0u32;
        while let Some(head) = bytes.next() {
            let code = head >> 3 & 15;
            let Some(delta) = delta(code, &mut bytes) else {
                break;
            };
            line += delta;
            end = end.saturating_add(UNIT * (u32::from(head & 7) + 1));
            self.push(end, if code == NO_LOCATION { None } else { number(line) });
        }
    }

    fn ranges(&mut self, table: &[u8]) {
        let mut line = i64::from(self.first_line);
        let mut end = 0u32;
        for [bytes, delta] in table.as_chunks().0 {
            end = end.saturating_add(u32::from(*bytes));
            let delta = *delta as i8;
            if delta == NO_LINE {
                self.push(end, None);
            } else {
                line += i64::from(delta);
                self.push(end, number(line));
            }
        }
    }

    fn increments(&mut self, table: &[u8], delta: impl Fn(u8) -> i64) {
        let mut line = i64::from(self.first_line);
        let mut start = 0u32;
        for [bytes, lines] in table.as_chunks().0 {
            if *bytes != 0 {
                start = start.saturating_add(u32::from(*bytes));
                self.push(start, number(line));
            }
            line += delta(*lines);
        }
        // The table does not say where the code ends.
        self.push(u32::MAX, number(line));
    }
}

fn number(line: i64) -> Option<u32> {
    u32::try_from(line).ok()
}

/// Reads one location; how many lines it is after the one before.
fn delta(code: u8, bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    match code {
        NO_LOCATION => Some(0),
        LONG => {
            let delta = signed(bytes)?;
            for _ in 0..3 {
                varint(bytes)?;
            }
            Some(delta)
        }
        NO_COLUMNS => signed(bytes),
        ONE_LINE0..=ONE_LINE2 => {
            bytes.next()?;
            bytes.next()?;
            Some(i64::from(code - ONE_LINE0))
        }
        _ => {
            bytes.next()?;
            Some(0)
        }
    }
}

/// 6 bits a byte, least significant first; bit 6 says that more follow.
fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut value = 0u32;
    let mut shift = 0;
    loop {
        let byte = bytes.next()?;
        value |= u32::from(byte & 63).checked_shl(shift).unwrap_or(0);
        if byte & 64 == 0 {
            return Some(value);
        }
        shift += 6;
    }
}

/// The sign is in bit 0.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = varint(bytes)?;
    let magnitude = i64::from(value >> 1);
    Some(if value & 1 == 1 { -magnitude } else { magnitude })
}
