//! What probes cost a traced process, where that is to stay within a budget: the kernel half adds it up, the daemon decides.

/// Time of one run of a program that counts at most, nanoseconds: of one that waited for a page, or for the processor, the rest is not the
/// probe's doing.
pub const MAX_RUN_NS: u64 = 1 << 18;

/// In the cookie of a site: which of two probes at that place it is. While a probe moves from one link to another, both are there, and
/// [`Terms::gate`] says whose calls count.
pub const GATE: u64 = 1 << 63;

/// What the daemon says of a site: bit 0 the gate, bits 1..32 and 32..64 what being probed costs at an entry and at a return,
/// nanoseconds, the program's own time left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms(pub u64);

impl Terms {
    const ENTRY: u64 = u32::MAX as u64 >> 1;

    /// Prices beyond their range are the highest there are.
    pub const fn new(gate: bool, entry_ns: u64, return_ns: u64) -> Self {
        let entry = if entry_ns < Self::ENTRY {
            entry_ns
        } else {
            Self::ENTRY
        };
        let leave = if return_ns < u32::MAX as u64 {
            return_ns
        } else {
            u32::MAX as u64
        };
        Self(gate as u64 | entry << 1 | leave << 32)
    }

    #[inline(always)]
    pub const fn gate(self) -> bool {
        self.0 & 1 != 0
    }

    #[inline(always)]
    pub const fn entry_ns(self) -> u64 {
        self.0 >> 1 & Self::ENTRY
    }

    #[inline(always)]
    pub const fn return_ns(self) -> u64 {
        self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_keep_what_they_are_given() {
        for gate in [false, true] {
            for (entry, leave) in [
                (0, 0),
                (560, 571),
                (10_500, u64::from(u32::MAX)),
                ((1 << 31) - 1, 1),
            ] {
                let terms = Terms::new(gate, entry, leave);
                assert_eq!(
                    (terms.gate(), terms.entry_ns(), terms.return_ns()),
                    (gate, entry, leave)
                );
            }
        }
        let most = Terms::new(true, u64::MAX, u64::MAX);
        assert_eq!(
            (most.gate(), most.entry_ns(), most.return_ns()),
            (true, (1 << 31) - 1, u64::from(u32::MAX))
        );
    }
}
