//! Probes in and out: the BPF programs, `uprobe_multi` links and the ring buffer.

mod btf;
mod facts;
mod kernel;
mod links;
mod loader;
mod outlive;
mod perf;
mod price;
mod readiness;
mod sampler;
#[cfg(test)]
mod stack;
mod sums;
mod trial;
mod verdicts;
mod watch;

pub use facts::SiteFacts;
pub use kernel::{Kernel, KernelError, KernelOptions, Nested};
pub use links::{Link, LinkError, Point, Probe};
pub use price::Prices;
pub use readiness::Readiness;
pub use sampler::Sampler;
pub use sums::Sums;
pub use trial::{has_multi, has_sessions};
pub use verdicts::Verdicts;
pub use watch::{Held, Watch};

/// The compiled `tracer-ebpf`, put here by the build script.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracer-ebpf"));
