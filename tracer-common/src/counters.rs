//! Per-site counters, kept in the kernel by atomic addition and read by the daemon.

/// One site's counters. After detaching, `hits == delivered + dropped + filtered` for
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
}

const _: () = assert!(size_of::<SiteCounters>() == 80);

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
    /// Not 0: calls inside other calls' work are added up too ([`crate::aggregate`]).
    pub nested: u64,
    /// Not 0: what probes cost is added up ([`crate::budget`]).
    pub budget: u64,
    /// Places that calls came from; above [`crate::aggregate::MAX_PLACES`]: and calls from others.
    pub places: u64,
}

const _: () = assert!(size_of::<Control>() == 48);
