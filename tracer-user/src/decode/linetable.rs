//! Line tables of CPython 3.11 and later (`Objects/locations.md`, `Objects/codeobject.c` at v3.11.7,
//! the same in 3.12 and 3.13): entries of a first byte `1cccclll` (c: how the location is written,
//! l: code units covered less one) and the location's own bytes.

/// Runs of code units and the line each belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    first_line: u32,
    /// (code unit after the run, its line), in order.
    runs: Vec<(u32, Option<u32>)>,
}

// Codes of the first byte (`_PyCodeLocationInfoKind`).
const ONE_LINE0: u8 = 10;
const ONE_LINE2: u8 = 12;
const NO_COLUMNS: u8 = 13;
const LONG: u8 = 14;
const NO_LOCATION: u8 = 15;

impl Lines {
    /// Decodes a whole table. Ends early where the table is damaged.
    pub fn decode(table: &[u8], first_line: u32) -> Self {
        let mut lines = Self {
            first_line,
            runs: Vec::new(),
        };
        let mut bytes = table.iter().copied();
        let mut line = i64::from(first_line);
        let mut unit = 0u32;
        while let Some(head) = bytes.next() {
            let code = head >> 3 & 15;
            let Some(delta) = delta(code, &mut bytes) else {
                break;
            };
            line += delta;
            unit = unit.saturating_add(u32::from(head & 7) + 1);
            let known = if code == NO_LOCATION {
                None
            } else {
                u32::try_from(line).ok()
            };
            match lines.runs.last_mut() {
                Some(last) if last.1 == known => last.0 = unit,
                _ => lines.runs.push((unit, known)),
            }
        }
        lines
    }

    /// The line of the instruction `offset` bytes into the code; before the first instruction
    /// that is the function's own line. `None`: the compiler gave it no line.
    pub fn at(&self, offset: i32) -> Option<u32> {
        let Ok(unit) = u32::try_from(offset.div_euclid(2)) else {
            return Some(self.first_line);
        };
        let run = self.runs.partition_point(|(end, _)| *end <= unit);
        self.runs.get(run)?.1
    }
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
