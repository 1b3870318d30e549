//! What a well-formed record looks like, by the words of `tracer_common::wire` alone: the decoder forgives
//! much, a test of the encoder must not.

use tracer_common::{
    activation::word,
    encode::Slot,
    limits::{MAX_C_NAME, MAX_INT_DIGITS},
    wire::{FLAG_CUT, FrameRecord, KIND_ENTRY, RecordHeader, SUB_PYTHON2, Tag, padded},
};
use tracer_user::decode::record::Record;

/// Why a record is not well-formed, or the end of one that is cut.
#[derive(Debug)]
pub enum Flaw {
    End,
    Wrong(String),
}

type Result<T> = std::result::Result<T, Flaw>;

/// Reads a record to its end. `max_str` is the capture limit of the target.
pub fn check(record: &Record, slot: &Slot, max_str: u32) -> std::result::Result<(), String> {
    let mut words = Words {
        words: &slot.words[..record.header.len as usize / 8],
        at: RecordHeader::SIZE / 8 + record.header.frames as usize * FrameRecord::SIZE / 8,
        max_str,
    };
    let result = match record.header.kind {
        KIND_ENTRY => words.entry(),
        _ => words.outcome(),
    };
    match result {
        Ok(()) if words.at == words.words.len() => Ok(()),
        Ok(()) => Err(format!("{} words too many", words.words.len() - words.at)),
        Err(Flaw::End) if record.header.flags & FLAG_CUT != 0 => Ok(()),
        Err(Flaw::End) => Err("ends too early".into()),
        Err(Flaw::Wrong(what)) => Err(format!("word {}: {what}", words.at)),
    }
}

struct Words<'a> {
    words: &'a [u64],
    at: usize,
    max_str: u32,
}

impl Words<'_> {
    fn word(&mut self) -> Result<u64> {
        let word = self.words.get(self.at).ok_or(Flaw::End)?;
        self.at += 1;
        Ok(*word)
    }

    fn head(&mut self) -> Result<(Tag, u8, u32)> {
        let word = self.word()?;
        let tag = Tag::from_u8(word as u8).ok_or_else(|| wrong(format!("no tag: {word:#x}")))?;
        Ok((tag, (word >> 8) as u8, (word >> 32) as u32))
    }

    fn skip(&mut self, words: usize) -> Result<()> {
        (0..words).try_for_each(|_| self.word().map(drop))
    }

    fn entry(&mut self) -> Result<()> {
        let (mut tag, _, n) = self.head()?;
        if tag == Tag::Activation {
            return self.run(n);
        }
        if tag == Tag::Self_ {
            self.value()?;
            tag = self.head()?.0;
        }
        expect(tag, Tag::Args)?;
        let total = self.word()?;
        at_most(self.items()?, total)?;
        if self.at == self.words.len() {
            return Ok(());
        }
        expect(self.head()?.0, Tag::Kwargs)?;
        let total = self.word()?;
        self.pairs(total)
    }

    /// What follows the first word of a run of a Python function.
    fn run(&mut self, n: u32) -> Result<()> {
        exactly(n.into(), word::COUNT as u64)?;
        self.skip(word::COUNT)?;
        while self.at != self.words.len() {
            let tag = self.head()?.0;
            let total = self.word()?;
            match tag {
                Tag::Globals => self.pairs(total)?,
                // Those in cells are apart, and counted with the others.
                _ => {
                    expect(tag, Tag::Kwargs)?;
                    self.pairs(if total == 0 { u64::MAX } else { total })?;
                }
            }
        }
        Ok(())
    }

    fn outcome(&mut self) -> Result<()> {
        let (mut tag, _, n) = self.head()?;
        if tag == Tag::Activation {
            exactly(n.into(), 1)?;
            self.skip(1)?;
            tag = self.head()?.0;
        }
        match tag {
            Tag::Result => self.value(),
            tag => {
                expect(tag, Tag::Raised)?;
                self.value()?;
                self.value()
            }
        }
    }

    /// Keys and values, `total` pairs at most.
    fn pairs(&mut self, total: u64) -> Result<()> {
        let items = self.items()?;
        at_most(items / 2, total)?;
        if items % 2 != 0 {
            return Err(wrong("a key without a value".into()));
        }
        Ok(())
    }

    /// Values until `End`; how many.
    fn items(&mut self) -> Result<u64> {
        let mut items = 0;
        while self.words.get(self.at) != Some(&(Tag::End as u64)) {
            self.value()?;
            items += 1;
        }
        self.word()?;
        Ok(items)
    }

    fn value(&mut self) -> Result<()> {
        let (tag, sub, n) = self.head()?;
        match tag {
            Tag::Null | Tag::None | Tag::True | Tag::False => Ok(()),
            Tag::Int64 | Tag::Float | Tag::Unreadable | Tag::Cut => self.skip(1),
            Tag::Complex | Tag::Type => self.skip(2),
            Tag::Object => self.skip(3),
            Tag::BigInt => {
                at_most(n.into(), MAX_INT_DIGITS.into())?;
                let digits = self.word()?;
                at_most(n.into(), digits)?;
                self.data(4 * n)
            }
            Tag::Str | Tag::Bytes | Tag::ByteArray | Tag::MemoryView => self.text(sub & !SUB_PYTHON2, n),
            Tag::List | Tag::Tuple | Tag::Set | Tag::FrozenSet => {
                let total = self.word()?;
                self.skip(1)?;
                at_most(self.items()?, total)
            }
            Tag::Dict => {
                let total = self.word()?;
                self.skip(1)?;
                self.pairs(total)
            }
            Tag::Range | Tag::Slice => exactly(self.items()?, 3),
            Tag::Module => {
                self.skip(1)?;
                exactly(self.items()?, 1)
            }
            Tag::Function => {
                self.skip(1)?;
                exactly(self.items()?, 2)
            }
            Tag::CFunction => {
                at_most(n.into(), MAX_C_NAME.into())?;
                self.skip(1)?;
                self.data(n)?;
                exactly(self.items()?, 2)
            }
            Tag::Exception => {
                self.skip(3)?;
                exactly(self.items()?, 1)
            }
            Tag::Subclass => {
                self.skip(3)?;
                self.value()
            }
            Tag::End
            | Tag::Args
            | Tag::Kwargs
            | Tag::Self_
            | Tag::Result
            | Tag::Raised
            | Tag::Handle
            | Tag::Filled
            | Tag::PeerName
            | Tag::Activation
            | Tag::Globals
            | Tag::Task
            | Tag::Span
            | Tag::Greenlet => Err(wrong(format!("{tag:?} where a value should be"))),
        }
    }

    fn text(&mut self, width: u8, n: u32) -> Result<()> {
        let length = self.word()?;
        if ![1, 2, 4].contains(&width) || !n.is_multiple_of(u32::from(width)) {
            return Err(wrong(format!("{n} bytes of characters of {width}")));
        }
        at_most(n.into(), self.max_str.into())?;
        at_most((n / u32::from(width)).into(), length)?;
        self.data(n)
    }

    /// `n` bytes, and zeros up to a whole word.
    fn data(&mut self, n: u32) -> Result<()> {
        self.skip(padded(n) as usize / 8)?;
        let used = n % 8;
        if used != 0 && self.words[self.at - 1] >> (8 * used) != 0 {
            return Err(wrong("bytes of something else behind the data".into()));
        }
        Ok(())
    }
}

fn wrong(what: String) -> Flaw {
    Flaw::Wrong(what)
}

fn expect(tag: Tag, expected: Tag) -> Result<()> {
    match tag == expected {
        true => Ok(()),
        false => Err(wrong(format!("{tag:?} instead of {expected:?}"))),
    }
}

fn at_most(n: u64, most: u64) -> Result<()> {
    match n <= most {
        true => Ok(()),
        false => Err(wrong(format!("{n} where {most} is the most"))),
    }
}

fn exactly(n: u64, expected: u64) -> Result<()> {
    match n == expected {
        true => Ok(()),
        false => Err(wrong(format!("{n} values instead of {expected}"))),
    }
}
