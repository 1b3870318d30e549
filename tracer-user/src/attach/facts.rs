//! What the kernel half has to know of sites beside their cookies.

use aya::maps::{Array, MapData};

use super::{Kernel, KernelError};

/// Where it is told.
pub struct SiteFacts(Array<MapData, u64>);

impl SiteFacts {
    /// Takes the map of a kernel half that was loaded for sums, or to record some calls only; once.
    pub fn new(kernel: &mut Kernel) -> Result<Self, KernelError> {
        Ok(Self(Array::try_from(kernel.take_map("SITE_FACTS")?)?))
    }

    /// Tells it about a site, before that is probed: bits of [`tracer_common::aggregate::site`].
    pub fn set(&mut self, site: u32, facts: u64) -> Result<(), KernelError> {
        Ok(self.0.set(site, facts, 0)?)
    }
}
