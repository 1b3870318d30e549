//! Probes in and out: `uprobe_multi` links and the ring buffer.
