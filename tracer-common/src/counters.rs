//! Per-site counters, kept in the kernel by atomic addition and read by the daemon.

use crate::rate::Rate;

/// One site's counters. After detaching, `hits == delivered + dropped + filtered + skipped` for
/// entries, and the same for returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SiteCounters {
    /// Entry probe ran.
    pub hits: u64,
    /// Entry record handed to the ring buffer.
    pub delivered: u64,
    /// Entry record lost: ring full or no scratch slot free.
    pub dropped: u64,
    /// Entry not recorded on purpose.
    pub filtered: u64,
    /// Return probe ran: not for calls whose entry was filtered, where the kernel can be told so (6.13).
    pub return_hits: u64,
    pub return_delivered: u64,
    pub return_dropped: u64,
    pub return_filtered: u64,
    /// Records cut by [`crate::limits::RECORD_MAX`] or [`crate::limits::MAX_STEPS`].
    pub truncated: u64,
    /// Values that could not be read.
    pub faults: u64,
    /// Entry not recorded since others stand for it ([`crate::rate`]), nor at its return, where it would have been had it raised.
    pub skipped: u64,
    /// Return of such a call.
    pub return_skipped: u64,
}

const _: () = assert!(size_of::<SiteCounters>() == 96);

impl SiteCounters {
    /// Nothing was lost, cut or unreadable, and all calls are accounted for. Those of a recording may be anything.
    pub fn is_whole(&self) -> bool {
        let accounted = self
            .delivered
            .checked_add(self.filtered)
            .and_then(|sum| sum.checked_add(self.skipped));
        [self.dropped, self.return_dropped, self.truncated, self.faults] == [0; 4]
            && accounted == Some(self.hits)
    }
}

/// What daemon and probes tell each other, one for all sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Control {
    /// Records lost at all sites.
    pub dropped: u64,
    /// Number of scratch slots, a power of two, minus one.
    pub slot_mask: u64,
    /// `FILTER_*` of [`crate::filter`].
    pub filters: u64,
    /// Not 0: calls inside other calls' work are added up too ([`crate::aggregate`]), or some of them shown.
    pub nested: u64,
    /// Not 0: what probes cost is added up ([`crate::budget`]).
    pub budget: u64,
    /// Places that calls came from; above [`crate::aggregate::MAX_PLACES`]: and calls from others.
    pub places: u64,
    /// How many calls are recorded.
    pub rate: Rate,
}

const _: () = assert!(size_of::<Control>() == 72);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_noticed() {
        let whole = SiteCounters {
            hits: 10,
            delivered: 3,
            filtered: 2,
            skipped: 5,
            ..SiteCounters::default()
        };
        assert!(whole.is_whole());
        for lacking in [
            SiteCounters { hits: 11, ..whole },
            SiteCounters { dropped: 1, ..whole },
            SiteCounters {
                return_dropped: 1,
                ..whole
            },
            SiteCounters {
                truncated: 1,
                ..whole
            },
            SiteCounters { faults: 1, ..whole },
            SiteCounters {
                delivered: u64::MAX,
                ..whole
            },
        ] {
            assert!(!lacking.is_whole(), "{lacking:?}");
        }
    }
}
