//! Batches.
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;

/// Who made the records.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "pytrace-ebpf".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}
