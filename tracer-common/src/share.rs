//! Probes that serve several processes: one in a file, where each of many processes would have its own. The kernel asks each probe at an
//! instruction, whichever process comes there, so that a call in one of 200 processes would pay for 200 of them.
//!
//! In the place of a process's index the cookie has a group's number. Who comes is looked up by its process id.

use crate::limits::MAX_TARGETS;

/// Numbers of groups, where a cookie has a process's index.
pub const GROUPS: core::ops::Range<u32> = MAX_TARGETS..256;

/// Group of a process that has probes of its own.
pub const NO_GROUP: u32 = 0;

/// A traced process: the group whose probes it shares, and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharer(pub u32);

impl Sharer {
    pub const fn new(group: u32, target: u32) -> Self {
        Self(group << 8 | target & 0xff)
    }

    /// Its index.
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self.0 & 0xff
    }

    /// Its index, if it is of that group.
    #[inline(always)]
    pub const fn target(self, group: u32) -> Option<u32> {
        if self.0 >> 8 == group {
            Some(self.0 & 0xff)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_served_by_its_own_group() {
        let sharer = Sharer::new(GROUPS.start + 3, 239);
        assert_eq!(sharer.target(GROUPS.start + 3), Some(239));
        assert_eq!(sharer.target(GROUPS.start), None);
        assert_eq!(Sharer::new(255, 0).target(255), Some(0));
        assert_eq!(Sharer::new(NO_GROUP, 7).index(), 7);
    }
}
