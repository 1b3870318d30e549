//! One wire record, checked. Records come from our own programs, but also from recording files,
//! so nothing about them is believed.

use bytes::Bytes;
use thiserror::Error;
use tracer_common::limits::RECORD_MAX;
use tracer_common::wire::{
    FrameRecord, KIND_CODE, KIND_ENTRY, KIND_PATH, KIND_PLACE, KIND_RETURN, KIND_SAMPLE, RecordHeader,
};

/// Why bytes are not a record.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("a record of {0} bytes is too short, too long, or not whole words")]
    Length(usize),
    #[error("a record of kind {0} is unknown")]
    Kind(u8),
    #[error("a record claims {claimed} frames in {len} bytes")]
    Frames { claimed: u16, len: usize },
}

/// A record whose lengths fit.
#[derive(Clone, Debug)]
pub struct Record {
    pub header: RecordHeader,
    bytes: Bytes,
}

impl Record {
    /// Checks a record of a call, which then shares `bytes`.
    pub fn parse(bytes: Bytes) -> Result<Self, RecordError> {
        Self::of_kind(bytes, &[KIND_ENTRY, KIND_RETURN])
    }

    /// Checks a record of any kind, as it comes from the kernel; recordings keep what names things as items of their own.
    pub fn parse_any(bytes: Bytes) -> Result<Self, RecordError> {
        Self::of_kind(
            bytes,
            &[
                KIND_ENTRY,
                KIND_RETURN,
                KIND_CODE,
                KIND_PATH,
                KIND_PLACE,
                KIND_SAMPLE,
            ],
        )
    }

    fn of_kind(bytes: Bytes, kinds: &[u8]) -> Result<Self, RecordError> {
        let len = bytes.len();
        if !(RecordHeader::SIZE..=RECORD_MAX).contains(&len) || !len.is_multiple_of(8) {
            return Err(RecordError::Length(len));
        }
        let word = |i: usize| word(&bytes, i).unwrap_or(0);
        let header = RecordHeader {
            kind: word(0) as u8,
            convention: (word(0) >> 8) as u8,
            target: (word(0) >> 16) as u16,
            len: (word(0) >> 32) as u32,
            site: word(1) as u32,
            tid: (word(1) >> 32) as u32,
            time_ns: word(2),
            sp: word(3),
            flags: word(4) as u32,
            frames: (word(4) >> 32) as u16,
            weight_log2: (word(4) >> 48) as u16,
        };
        if header.len as usize != len {
            return Err(RecordError::Length(len));
        }
        if !kinds.contains(&header.kind) {
            return Err(RecordError::Kind(header.kind));
        }
        if RecordHeader::SIZE + header.frames as usize * FrameRecord::SIZE > len {
            return Err(RecordError::Frames {
                claimed: header.frames,
                len,
            });
        }
        Ok(Self { header, bytes })
    }

    /// Python frames, innermost first.
    pub fn frames(&self) -> impl Iterator<Item = FrameRecord> {
        let first = RecordHeader::SIZE / 8;
        (0..self.header.frames as usize).filter_map(move |i| {
            let at = first + 3 * i;
            let last = word(&self.bytes, at + 2)?;
            Some(FrameRecord {
                code: word(&self.bytes, at)?,
                fingerprint: word(&self.bytes, at + 1)?,
                instruction: last as u32 as i32,
                first_line: (last >> 32) as u32,
            })
        })
    }

    /// The values: whole words.
    pub fn values(&self) -> &[u8] {
        &self.bytes[RecordHeader::SIZE + self.header.frames as usize * FrameRecord::SIZE..]
    }

    /// The record as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Word `i` of whole words.
pub fn word(bytes: &[u8], i: usize) -> Option<u64> {
    let chunk = bytes.get(i.checked_mul(8)?..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_record_is_refused() {
        assert_eq!(Record::parse(Bytes::new()).err(), Some(RecordError::Length(0)));
        assert_eq!(
            Record::parse(Bytes::from(vec![0; 41])).err(),
            Some(RecordError::Length(41))
        );
        let mut bytes = vec![0; 40];
        bytes[4] = 40;
        assert_eq!(
            Record::parse(Bytes::from(bytes.clone())).err(),
            Some(RecordError::Kind(0))
        );
        bytes[0] = KIND_CODE;
        assert_eq!(
            Record::parse(Bytes::from(bytes.clone())).err(),
            Some(RecordError::Kind(KIND_CODE))
        );
        assert!(Record::parse_any(Bytes::from(bytes.clone())).is_ok());
        bytes[0] = KIND_ENTRY;
        bytes[36] = 1;
        let error = RecordError::Frames { claimed: 1, len: 40 };
        assert_eq!(Record::parse(Bytes::from(bytes)).err(), Some(error));
        // One more word than the kernel half has room for.
        let len = RECORD_MAX + 8;
        let mut bytes = vec![0; len];
        bytes[0] = KIND_ENTRY;
        bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes());
        assert_eq!(
            Record::parse(Bytes::from(bytes)).err(),
            Some(RecordError::Length(len))
        );
    }
}
