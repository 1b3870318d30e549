//! Memory read in blocks and kept: walking thousands of objects costs a system call for each
//! block of pages, not for each field.

use std::cell::RefCell;
use std::collections::HashMap;

use super::memory::{ReadError, ReadMemory};

const PAGE: u64 = 4096;
/// Bytes fetched at once where all of it is mapped.
const BLOCK: u64 = 16 * PAGE;
/// Blocks kept at most (256 MiB); beyond that the oldest knowledge is dropped wholesale.
const MAX_BLOCKS: usize = 4096;

/// A cache over another reader. Not coherent: what was read once stays, which also makes the
/// walk see each page at one moment.
pub struct Snapshot<'a, M> {
    memory: &'a M,
    blocks: RefCell<HashMap<u64, Block>>,
}

/// `readable` has a bit for each page.
struct Block {
    bytes: Box<[u8]>,
    readable: u16,
}

const _: () = assert!(BLOCK / PAGE == u16::BITS as u64);

impl<'a, M: ReadMemory> Snapshot<'a, M> {
    pub fn new(memory: &'a M) -> Self {
        Self {
            memory,
            blocks: RefCell::default(),
        }
    }

    fn fetch(&self, start: u64) -> Block {
        let mut bytes = vec![0; BLOCK as usize].into_boxed_slice();
        if self.memory.read(start, &mut bytes).is_ok() {
            return Block {
                bytes,
                readable: u16::MAX,
            };
        }
        let mut readable = 0;
        for (n, page) in bytes.chunks_exact_mut(PAGE as usize).enumerate() {
            if self.memory.read(start + n as u64 * PAGE, page).is_ok() {
                readable |= 1 << n;
            }
        }
        Block { bytes, readable }
    }
}

impl Block {
    /// Copies what of `out` lies in this block, which begins at `into` of it.
    fn copy(&self, into: usize, out: &mut [u8]) -> bool {
        let pages = into / PAGE as usize..=(into + out.len() - 1) / PAGE as usize;
        let readable = pages.into_iter().all(|page| self.readable & 1 << page != 0);
        if readable {
            out.copy_from_slice(&self.bytes[into..into + out.len()]);
        }
        readable
    }
}

impl<M: ReadMemory> ReadMemory for Snapshot<'_, M> {
    fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
        let error = ReadError { addr, len: out.len() };
        let mut blocks = self.blocks.borrow_mut();
        let (mut at, mut rest) = (addr, out);
        while !rest.is_empty() {
            let into = at % BLOCK;
            let len = rest.len().min((BLOCK - into) as usize);
            let (part, after) = rest.split_at_mut(len);
            if blocks.len() >= MAX_BLOCKS {
                blocks.clear();
            }
            let block = blocks.entry(at - into).or_insert_with(|| self.fetch(at - into));
            if !block.copy(into as usize, part) {
                return Err(error);
            }
            rest = after;
            at = at.checked_add(len as u64).ok_or(error)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Readable from 0x10000 to 0x13000; every byte is its page number.
    struct ThreePages(Cell<u32>);

    impl ReadMemory for ThreePages {
        fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), ReadError> {
            self.0.set(self.0.get() + 1);
            let end = addr.saturating_add(out.len() as u64);
            if addr < 0x10000 || end > 0x13000 {
                return Err(ReadError { addr, len: out.len() });
            }
            for (n, byte) in out.iter_mut().enumerate() {
                *byte = ((addr + n as u64) / PAGE) as u8;
            }
            Ok(())
        }
    }

    #[test]
    fn pages_beside_a_hole_stay_readable() {
        let memory = ThreePages(Cell::new(0));
        let snapshot = Snapshot::new(&memory);
        assert_eq!(snapshot.read_bytes(0x10ffe, 4), Ok(vec![0x10, 0x10, 0x11, 0x11]));
        assert!(snapshot.read_u64(0x12ffc).is_err());
        assert!(snapshot.read_u64(0xfffc).is_err());
        assert!(snapshot.read_u64(u64::MAX - 2).is_err());
        let calls = memory.0.get();
        assert_eq!(snapshot.read_u8(0x12fff), Ok(0x12));
        assert_eq!(memory.0.get(), calls, "the block was read before");
    }
}
