//! Calls that are added up in the kernel, by function and by the place in Python code that calls: no record of them leaves it.
//!
//! A call is counted where it is entered. Its time, its error and its bytes are added where it returns, so that of
//! the calls of an [`Aggregate`] those are known to be without an end that have not `ended`.

use crate::open::OpenCalls;

/// Places told apart at most; the calls from more are added to their function's own [`Aggregate`], without a line.
pub const MAX_PLACES: u32 = 8 * 1024;

/// Buckets of a histogram of durations.
pub const BUCKETS: usize = 40;

/// Tells places apart: target << 32 | site; [`crate::encode::place`], the first with the type mixed in of a [`site::BY_TYPE`].
pub type PlaceKey = [u64; 3];

/// The calls of one function from one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Aggregate {
    /// Site, of a place's.
    pub site: u64,
    /// Not 0: a record with the place's code object was sent ([`crate::wire::KIND_PLACE`]).
    pub told: u64,
    /// Calls entered.
    pub calls: u64,
    /// Calls seen to return.
    pub ended: u64,
    /// Of these: that raised.
    pub errors: u64,
    /// Of these: added durations, and the longest one.
    pub total_ns: u64,
    pub max_ns: u64,
    /// Bytes read or written, where the function moves any; of a text file, characters.
    pub bytes: u64,
    /// Calls that moved bytes of which it could not be told how many.
    pub unsized_calls: u64,
    /// Durations, by [`bucket`].
    pub histogram: [u64; BUCKETS],
}

const _: () = assert!(size_of::<Aggregate>() == 8 * (9 + BUCKETS));

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            site: 0,
            told: 0,
            calls: 0,
            ended: 0,
            errors: 0,
            total_ns: 0,
            max_ns: 0,
            bytes: 0,
            unsized_calls: 0,
            histogram: [0; BUCKETS],
        }
    }
}

impl Aggregate {
    /// Adds the calls of another one.
    pub fn join(&mut self, other: &Self) {
        let add = |to: &mut u64, n: u64| *to = to.saturating_add(n);
        add(&mut self.calls, other.calls);
        add(&mut self.ended, other.ended);
        add(&mut self.errors, other.errors);
        add(&mut self.total_ns, other.total_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        add(&mut self.bytes, other.bytes);
        add(&mut self.unsized_calls, other.unsized_calls);
        for (to, n) in self.histogram.iter_mut().zip(&other.histogram) {
            add(to, *n);
        }
    }

    /// What was added since it was `before`. The longest duration is that of all.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls.wrapping_sub(before.calls),
            ended: self.ended.wrapping_sub(before.ended),
            errors: self.errors.wrapping_sub(before.errors),
            total_ns: self.total_ns.wrapping_sub(before.total_ns),
            bytes: self.bytes.wrapping_sub(before.bytes),
            unsized_calls: self.unsized_calls.wrapping_sub(before.unsized_calls),
            histogram: core::array::from_fn(|i| self.histogram[i].wrapping_sub(before.histogram[i])),
            ..*self
        }
    }
}

/// Where a duration is counted: the number of its significant bits, so bucket `b` has those below 2^b ns, and not below half of that.
/// The last one has all that are longer (9 minutes).
#[inline(always)]
pub const fn bucket(ns: u64) -> usize {
    // Without `leading_zeros`: there is no such instruction, and what LLVM makes of it is longer.
    let mut bits = 0;
    let mut left = ns;
    let mut step = 32;
    while step != 0 {
        if left >> step != 0 {
            left >>= step;
            bits += step;
        }
        step /= 2;
    }
    let bits = bits + left as usize;
    if bits < BUCKETS { bits } else { BUCKETS - 1 }
}

/// Places that a thread remembers.
pub const REMEMBERED: usize = 8;

/// A place where a thread was, and the index of its [`Aggregate`]; 0 everywhere: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Remembered {
    pub key: PlaceKey,
    pub index: u64,
}

/// A thread's calls in progress, and what it would have to look up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Calls {
    pub open: OpenCalls,
    /// Its `PyThreadState` when it was last looked for; to be checked at each use.
    pub tstate: u64,
    /// By the lowest bits of the site.
    pub remembered: [Remembered; REMEMBERED],
}

/// What the daemon says of a site.
pub mod site {
    /// What is called inside is part of the same act.
    pub const ACT: u64 = 1;
    /// Counted inside of other calls too.
    pub const NAMED: u64 = 2;
    /// Its return is not probed.
    pub const NO_RETURN: u64 = 4;
    /// The result says how many bytes were moved: it is their number, or they themselves.
    pub const RESULT: u64 = 8;
    /// The type of `self`, or the type that `self` is, says which of its names a call goes by: its calls are added up by it, and
    /// the record of the place has its address where others have a time.
    pub const BY_TYPE: u64 = 256;
    /// A bytecode, which may call a function to do its work.
    pub const BYTECODE: u64 = 512;
    /// Where the result does not: bits 4..8: 1 + the position of the argument that holds what is
    /// written.
    pub const ARGUMENT: u32 = 4;

    /// 1 + the position of the argument that holds what is written, 0: there is none.
    #[inline(always)]
    pub const fn argument(facts: u64) -> u64 {
        facts >> ARGUMENT & 15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 7, 8].map(bucket), [0, 1, 2, 2, 3, 3, 4]);
        for bits in 1..BUCKETS - 1 {
            assert_eq!(bucket(1 << bits), bits + 1, "{bits}");
            assert_eq!(bucket((1 << bits) - 1), bits, "{bits}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_came_since_is_the_difference_and_the_longest_stays() {
        let mut before = Aggregate {
            calls: 3,
            ..Aggregate::default()
        };
        before.histogram[4] = 3;
        let mut now = Aggregate {
            site: 7,
            told: 1,
            calls: 10,
            ended: 9,
            errors: 2,
            total_ns: 500,
            max_ns: 90,
            bytes: 4096,
            unsized_calls: 1,
            ..before
        };
        now.histogram[4] = 8;
        now.histogram[6] = 1;
        let mut expected = Aggregate { calls: 7, ..now };
        expected.histogram[4] = 5;
        assert_eq!(now.since(&before), expected);
        assert_eq!(now.since(&Aggregate::default()), now);
        assert_eq!(now.since(&now).calls, 0);
        let mut joined = expected;
        joined.join(&before);
        assert_eq!(joined, now);
    }

    #[test]
    fn a_site_says_which_argument_is_written() {
        let facts = site::ACT | site::RESULT | 3 << site::ARGUMENT | site::BY_TYPE;
        assert_eq!(site::argument(facts), 3);
        assert_eq!(site::argument(site::RESULT), 0);
    }
}
