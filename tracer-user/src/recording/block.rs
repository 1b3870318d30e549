//! Blocks: the frames of a recording. A block is stored length (u32), raw length (u32), CRC-32 of these two
//! words and the stored bytes (u32), then the stored bytes: whole [items](super::item), compressed as one LZ4 block.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::{
    FILE_HEADER, MAGIC, RecordingError, VERSION,
    item::{HEAD, MAX_ITEM, head},
};

/// Items are gathered up to this many raw bytes, where that many wait.
const BLOCK: usize = 256 * 1024;
/// Raw bytes of a block at most.
const MAX_RAW: usize = BLOCK + HEAD + MAX_ITEM;
/// Bytes before the stored bytes.
const BLOCK_HEADER: usize = 12;

/// Writes blocks.
pub struct BlockWriter<W> {
    to: W,
}

impl<W: Write> BlockWriter<W> {
    /// Begins a recording.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn new(mut to: W) -> io::Result<Self> {
        let mut start = [0; FILE_HEADER];
        start[..8].copy_from_slice(&MAGIC);
        start[8..12].copy_from_slice(&VERSION.to_le_bytes());
        to.write_all(&start)?;
        to.flush()?;
        Ok(Self { to })
    }

    /// Writes whole items, in as many blocks as they need.
    ///
    /// # Errors
    ///
    /// Those of the file.
    pub fn write(&mut self, items: &[u8]) -> io::Result<()> {
        let mut rest = items;
        while !rest.is_empty() {
            let (block, after) = rest.split_at(whole_items(rest));
            self.block(block)?;
            rest = after;
        }
        self.to.flush()
    }

    pub(crate) fn block(&mut self, raw: &[u8]) -> io::Result<()> {
        let stored = lz4_flex::block::compress(raw);
        let mut block = Vec::with_capacity(BLOCK_HEADER + stored.len());
        block.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        block.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        block.extend_from_slice(&checksum(&block, &stored).to_le_bytes());
        block.extend_from_slice(&stored);
        // In one go: a tracer that is killed leaves a whole block, or the start of one.
        self.to.write_all(&block)
    }
}

/// The length of the first items that make a block.
fn whole_items(items: &[u8]) -> usize {
    let mut end = 0;
    while end < BLOCK
        && let Some((_, len)) = head(&items[end..])
    {
        end += HEAD + len;
    }
    // What is no item is never appended; were it, it would be kept in a block rather than lost.
    if end == 0 || end > items.len() {
        items.len()
    } else {
        end
    }
}

fn checksum(lengths: &[u8], stored: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&lengths[..8]);
    crc.update(stored);
    crc.finalize()
}

/// A block, unpacked.
pub struct Block {
    /// Where it begins in the file.
    pub offset: u64,
    pub items: Bytes,
}

/// What comes next in a file.
pub enum Next {
    Block(Block),
    /// The file ends at this offset, or after that with the first bytes of a block.
    Torn {
        offset: u64,
        bytes: u64,
    },
}

/// Reads blocks.
pub struct BlockReader<R> {
    from: R,
    offset: u64,
}

impl<R: Read> BlockReader<R> {
    /// Checks how the file begins.
    ///
    /// # Errors
    ///
    /// [`RecordingError::NotARecording`], [`RecordingError::Version`], [`RecordingError::Read`].
    pub fn new(from: R) -> Result<Self, RecordingError> {
        let mut reader = Self { from, offset: 0 };
        let start = reader.read(FILE_HEADER)?;
        let Some(version) = start.strip_prefix(&MAGIC).and_then(|rest| word(rest, 0)) else {
            return Err(RecordingError::NotARecording);
        };
        if version != VERSION {
            return Err(RecordingError::Version(version));
        }
        if start.len() < FILE_HEADER {
            return Err(RecordingError::Empty);
        }
        reader.offset = FILE_HEADER as u64;
        Ok(reader)
    }

    /// The next block.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Block`] where it is damaged, [`RecordingError::Read`].
    pub fn next_block(&mut self) -> Result<Next, RecordingError> {
        let offset = self.offset;
        let lengths = self.read(BLOCK_HEADER)?;
        let (Some(stored_len), Some(raw_len), Some(crc)) =
            (word(&lengths, 0), word(&lengths, 4), word(&lengths, 8))
        else {
            let bytes = lengths.len() as u64;
            return Ok(Next::Torn { offset, bytes });
        };
        let damaged = |what| RecordingError::Block { offset, what };
        let (stored_len, raw_len) = (stored_len as usize, raw_len as usize);
        if raw_len > MAX_RAW || stored_len > lz4_flex::block::get_maximum_output_size(MAX_RAW) {
            return Err(damaged("claims to be larger than any block"));
        }
        let stored = self.read(stored_len)?;
        if stored.len() < stored_len {
            let bytes = (BLOCK_HEADER + stored.len()) as u64;
            return Ok(Next::Torn { offset, bytes });
        }
        if checksum(&lengths, &stored) != crc {
            return Err(damaged("does not have the checksum it says"));
        }
        let items = lz4_flex::block::decompress(&stored, raw_len)
            .ok()
            .filter(|items| items.len() == raw_len)
            .ok_or_else(|| damaged("cannot be decompressed"))?;
        self.offset += (BLOCK_HEADER + stored_len) as u64;
        Ok(Next::Block(Block {
            offset,
            items: items.into(),
        }))
    }

    /// Up to `len` bytes; fewer at the end of the file.
    fn read(&mut self, len: usize) -> Result<Vec<u8>, RecordingError> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(len as u64).read_to_end(&mut bytes);
        read.map_err(|source| RecordingError::Read {
            offset: self.offset,
            source,
        })?;
        Ok(bytes)
    }
}

/// The little endian word at that byte.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*word))
}
