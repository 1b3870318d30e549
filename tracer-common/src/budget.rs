//! What probes cost a traced process, where that is to stay within a budget: the kernel half adds it up, the daemon decides.

/// Time of one run of a program that counts at most, nanoseconds: of one that waited for a page, or for the processor, the rest is not the
/// probe's doing.
pub const MAX_RUN_NS: u64 = 1 << 18;

/// In the cookie of a site: which of two probes at that place it is, the lowest bit of its generation. While a probe moves from one link to
/// another, both are there, and [`Terms`] say whose calls count.
pub const GATE: u64 = 1 << 63;

/// Generations that a site's probes have, before they are counted anew.
pub const GENERATIONS: u32 = 1 << 12;

/// What the daemon says of a site: bits 0..12 the generation of the probe that serves it, bits 12..36 and 36..60 what being probed
/// costs at an entry and at a return, nanoseconds, the program's own time left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms(pub u64);

impl Terms {
    const MOST: u64 = (1 << 24) - 1;

    /// Prices beyond their range are the highest there are.
    pub const fn new(generation: u32, entry_ns: u64, return_ns: u64) -> Self {
        let generation = (generation % GENERATIONS) as u64;
        let entry = if entry_ns < Self::MOST {
            entry_ns
        } else {
            Self::MOST
        };
        let leave = if return_ns < Self::MOST {
            return_ns
        } else {
            Self::MOST
        };
        Self(generation | entry << 12 | leave << 36)
    }

    #[inline(always)]
    pub const fn generation(self) -> u32 {
        self.0 as u32 & (GENERATIONS - 1)
    }

    /// Whether the probe with that bit serves the site.
    #[inline(always)]
    pub const fn is_served_by(self, gate: bool) -> bool {
        (self.0 & 1 != 0) == gate
    }

    #[inline(always)]
    pub const fn entry_ns(self) -> u64 {
        self.0 >> 12 & Self::MOST
    }

    #[inline(always)]
    pub const fn return_ns(self) -> u64 {
        self.0 >> 36 & Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_keep_what_they_are_given() {
        for generation in [0, 1, 2, GENERATIONS - 1] {
            for (entry, leave) in [(0, 0), (560, 571), (10_500, (1 << 24) - 1), ((1 << 24) - 1, 1)] {
                let terms = Terms::new(generation, entry, leave);
                assert_eq!(
                    (terms.generation(), terms.entry_ns(), terms.return_ns()),
                    (generation, entry, leave)
                );
                assert!(terms.is_served_by(generation % 2 == 1) && !terms.is_served_by(generation % 2 == 0));
            }
        }
        let most = Terms::new(GENERATIONS + 3, u64::MAX, u64::MAX);
        assert_eq!(
            (most.generation(), most.entry_ns(), most.return_ns()),
            (3, (1 << 24) - 1, (1 << 24) - 1)
        );
    }
}
