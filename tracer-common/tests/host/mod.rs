//! The encoder driven on the host, over any memory that can be read byte by byte.

use tracer_common::{
    encode::{Memory, Progress, Slot, WINDOW_WORDS, WORDS, step},
    limits::MAX_STEPS,
    target::Target,
    wire::FLAG_CUT,
};

/// Bytes that a C string is read by.
const LINE: u64 = 64;

/// Memory by a function that fills a buffer from an address, wholly or not at all (false).
pub struct ByRead<F>(pub F);

impl<F: FnMut(u64, &mut [u8]) -> bool> ByRead<F> {
    /// The bytes before the first NUL, at most `max`.
    fn c_str(&mut self, address: u64, max: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while (text.len() as u64) < max {
            let at = address + text.len() as u64;
            let mut line = [0; LINE as usize];
            let line = &mut line[..(LINE - at % LINE).min(max - text.len() as u64) as usize];
            if !(self.0)(at, line) {
                return None;
            }
            match line.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&line[..end]);
                    break;
                }
                None => text.extend_from_slice(line),
            }
        }
        Some(text)
    }
}

impl<F: FnMut(u64, &mut [u8]) -> bool> Memory for ByRead<F> {
    fn words<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
        let mut bytes = [0; 8 * WINDOW_WORDS];
        let bytes = &mut bytes[..8 * N];
        let mut words = [0; N];
        (self.0)(address, bytes).then(|| {
            put(&mut words, bytes);
            words
        })
    }

    fn window<const N: usize>(&mut self, to: &mut [u64; WINDOW_WORDS], address: u64) -> bool {
        let words = self.words::<N>(address);
        if let Some(words) = words {
            to[..N].copy_from_slice(&words);
        }
        words.is_some()
    }

    fn start(&mut self, to: &mut [u64; WINDOW_WORDS], len: u32, address: u64) -> bool {
        let mut bytes = [0; 8 * WINDOW_WORDS];
        let there = (self.0)(address, &mut bytes[..len as usize]);
        if there {
            put(to, &bytes);
        }
        there
    }

    fn u32(&mut self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        (self.0)(address, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }

    fn u8(&mut self, address: u64) -> Option<u8> {
        let mut byte = [0];
        (self.0)(address, &mut byte).then_some(byte[0])
    }

    fn short_str(&mut self, address: u64) -> Option<[u64; 2]> {
        let text = self.c_str(address, 15)?;
        let mut words = [0; 2];
        put(&mut words, &text);
        Some(words)
    }

    fn copy(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> bool {
        let mut bytes = vec![0; len as usize];
        let there = (self.0)(address, &mut bytes);
        if there {
            put(&mut words[at as usize..], &bytes);
        }
        there
    }

    fn copy_str(&mut self, words: &mut [u64; WORDS], at: u32, len: u32, address: u64) -> u32 {
        let Some(mut text) = self.c_str(address, u64::from(len) - 1) else {
            return 0;
        };
        text.push(0);
        put(&mut words[at as usize..], &text);
        text.len() as u32
    }
}

/// Puts bytes into words, and leaves what is beyond them as it is.
fn put(words: &mut [u64], bytes: &[u8]) {
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut all = word.to_le_bytes();
        all[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(all);
    }
}

/// Runs the encoder as the kernel half does; `before` sees the slot before each step.
pub fn run<M: Memory>(slot: &mut Slot, target: &Target, memory: &mut M, mut before: impl FnMut(&Slot)) {
    for _ in 0..MAX_STEPS {
        before(slot);
        if step(slot, target, memory) == Progress::Done {
            break;
        }
    }
    if slot.depth != 0 {
        slot.flags |= FLAG_CUT;
    }
}
