//! Calls that were added up in the kernel, as they are there.

use aya::{
    Pod,
    maps::{Array, MapData},
};
use tracer_common::aggregate::Aggregate;

use super::{Kernel, KernelError};

#[derive(Clone, Copy)]
#[repr(transparent)]
struct PodAggregate(Aggregate);
// SAFETY: u64 only.
unsafe impl Pod for PodAggregate {}

/// The maps of sums.
pub struct Sums {
    aggregates: Array<MapData, PodAggregate>,
}

impl Sums {
    /// Takes the maps of a kernel half that was loaded for sums; once.
    pub fn new(kernel: &mut Kernel) -> Result<Self, KernelError> {
        Ok(Self {
            aggregates: Array::try_from(kernel.take_map("AGGREGATES")?)?,
        })
    }

    /// The sums of a site or, from [`tracer_common::limits::USUAL_SITES`] on, of a place.
    pub fn get(&self, index: u32) -> Result<Aggregate, KernelError> {
        Ok(self.aggregates.get(&index, 0)?.0)
    }
}
