//! The daemon's end of the ring buffer.

use std::os::fd::AsFd as _;

use aya::maps::{MapData, RingBuf};
use bytes::{Bytes, BytesMut};
use tracer_user::attach::Readiness;

/// Records taken at once at most, so that signals are seen in between.
pub const BATCH: usize = 4096;
/// Records are copied out of the ring into arenas of this size, which their [`Bytes`] share.
const ARENA: usize = 1 << 20;

/// Records as they come.
pub struct Ring {
    ring: RingBuf<MapData>,
    readiness: Readiness,
    arena: BytesMut,
}

impl Ring {
    /// Registers the ring buffer with the running tokio runtime.
    pub fn new(ring: RingBuf<MapData>) -> std::io::Result<Self> {
        let readiness = Readiness::new(ring.as_fd().try_clone_to_owned()?)?;
        Ok(Self {
            ring,
            readiness,
            arena: BytesMut::with_capacity(ARENA),
        })
    }

    /// Takes what is there, up to a batch; how many.
    pub fn drain(&mut self, mut take: impl FnMut(Bytes)) -> usize {
        for n in 0..BATCH {
            let Some(record) = self.ring.next() else { return n };
            if self.arena.capacity() - self.arena.len() < record.len() {
                self.arena = BytesMut::with_capacity(ARENA.max(record.len()));
            }
            self.arena.extend_from_slice(&record);
            drop(record);
            take(self.arena.split().freeze());
        }
        BATCH
    }

    /// Waits until the kernel says there is something.
    pub async fn readable(&self) -> std::io::Result<()> {
        self.readiness.readable().await
    }
}
