//! Records by what they come from, until there are enough of them for one request.
//!
//! Records are encoded as they come: the encoding of a message is that of its parts, one behind the other, so nothing
//! but bytes is kept, and what a tracing process has encoded need not be decoded to go on.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use indexmap::IndexMap;
use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};

use super::attributes::{attribute, text_value};

/// Bytes of records at which a batch is given away.
pub const MAX_BYTES: usize = 512 * 1024;
/// How long a record waits for others.
pub const MAX_WAIT: Duration = Duration::from_secs(1);
/// Semantic conventions whose names are used.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";

/// `ExportLogsServiceRequest.resource_logs` and `ExportMetricsServiceRequest.resource_metrics`.
const RESOURCES: u32 = 1;
/// `ResourceLogs.scope_logs`.
const SCOPES: u32 = 2;
/// `ScopeLogs.log_records`.
const RECORDS: u32 = 2;

/// What a batch is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// An `ExportLogsServiceRequest`.
    Logs,
    /// An `ExportMetricsServiceRequest`.
    Metrics,
}

/// An encoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub signal: Signal,
    /// Records, or data points.
    pub records: u64,
    /// Unix times of the first and the last record, nanoseconds; 0: not known.
    pub first_ns: u64,
    pub last_ns: u64,
    pub body: Vec<u8>,
}

/// Who made the records.
pub fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "pytrace-ebpf".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Names each record: the instance of the agent, and a number that no other record of it ever had.
#[derive(Debug)]
pub struct Uids {
    instance: String,
    next: u64,
    end: u64,
}

impl Uids {
    /// Numbers from `next` to before `end`, as [`super::spool::Spool::reserve`] gives them.
    pub fn new(instance: &str, next: u64, end: u64) -> Self {
        Self {
            instance: instance.to_owned(),
            next,
            end,
        }
    }

    /// How many are left.
    pub fn left(&self) -> u64 {
        self.end - self.next
    }

    fn take(&mut self) -> Option<String> {
        let number = self.next;
        (number < self.end).then(|| {
            self.next += 1;
            format!("{}-{number:x}", self.instance)
        })
    }
}

/// Records of one resource, as `ScopeLogs.log_records`.
struct Group {
    resource: Arc<Resource>,
    records: Vec<u8>,
}

/// Collects records.
pub struct Batcher {
    uids: Uids,
    /// By the address of the resource, which the group keeps alive.
    groups: IndexMap<usize, Group>,
    bytes: usize,
    records: u64,
    times: Option<(u64, u64)>,
    since: Option<Instant>,
}

impl Batcher {
    pub fn new(uids: Uids) -> Self {
        Self {
            uids,
            groups: IndexMap::new(),
            bytes: 0,
            records: 0,
            times: None,
            since: None,
        }
    }

    /// How many records may still come until [`Batcher::give_uids`] has to be called.
    pub fn uids_left(&self) -> u64 {
        self.uids.left()
    }

    /// Names for the records to come. Without one left, records come without a name.
    pub fn give_uids(&mut self, uids: Uids) {
        self.uids = uids;
    }

    /// Takes in a record of that resource. What came before, if there is no room for it; see [`Batcher::push_encoded`].
    pub fn push(&mut self, resource: &Arc<Resource>, record: &LogRecord, now: Instant) -> Option<Batch> {
        let encoded = record.encode_to_vec();
        self.push_encoded(resource, &encoded, record.time_unix_nano, now)
    }

    /// Takes in an encoded `LogRecord`, whose time is `time_ns`; gives it a name, and the time at which it was observed:
    /// now. What came before, if there is no room for it besides.
    pub fn push_encoded(
        &mut self,
        resource: &Arc<Resource>,
        record: &[u8],
        time_ns: u64,
        now: Instant,
    ) -> Option<Batch> {
        // A field that is behind a message is of that message.
        let uid = self.uids.take();
        let more = LogRecord {
            observed_time_unix_nano: unix_ns(),
            attributes: Vec::from_iter(uid.map(|uid| attribute("log.record.uid", text_value(uid)))),
            ..LogRecord::default()
        };
        let more = more.encode_to_vec();
        let len = record.len() + more.len();
        let full = match self.bytes + len > MAX_BYTES {
            true => self.flush(),
            false => None,
        };
        let key = Arc::as_ptr(resource) as usize;
        let new = || Group {
            resource: Arc::clone(resource),
            records: Vec::new(),
        };
        let group = self.groups.entry(key).or_insert_with(|| {
            self.bytes += resource.encoded_len();
            new()
        });
        let before = group.records.len();
        encode_key(RECORDS, WireType::LengthDelimited, &mut group.records);
        encode_varint(len as u64, &mut group.records);
        group.records.extend_from_slice(record);
        group.records.extend_from_slice(&more);
        self.bytes += group.records.len() - before;
        self.records += 1;
        self.since.get_or_insert(now);
        if time_ns != 0 {
            let (first, last) = self.times.get_or_insert((time_ns, time_ns));
            *first = time_ns.min(*first);
            *last = time_ns.max(*last);
        }
        full
    }

    /// When what is there has waited long enough. `None`: nothing is there.
    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + MAX_WAIT)
    }

    /// What is there, as a request. `None`: nothing is.
    pub fn flush(&mut self) -> Option<Batch> {
        self.since = None;
        let records = std::mem::take(&mut self.records);
        if records == 0 {
            return None;
        }
        let mut body = Vec::with_capacity(self.bytes + 64 * self.groups.len());
        for group in std::mem::take(&mut self.groups).into_values() {
            embed(RESOURCES, &resource_logs(&group), &mut body);
        }
        self.bytes = 0;
        let (first_ns, last_ns) = self.times.take().unwrap_or_default();
        Some(Batch {
            signal: Signal::Logs,
            records,
            first_ns,
            last_ns,
            body,
        })
    }
}

/// A `ResourceLogs` of the group's records.
fn resource_logs(group: &Group) -> Vec<u8> {
    let head = ScopeLogs {
        scope: Some(scope()),
        schema_url: SCHEMA_URL.to_owned(),
        ..ScopeLogs::default()
    };
    let mut scope = head.encode_to_vec();
    scope.extend_from_slice(&group.records);
    let head = ResourceLogs {
        resource: Some(Resource::clone(&group.resource)),
        schema_url: SCHEMA_URL.to_owned(),
        ..ResourceLogs::default()
    };
    let mut encoded = head.encode_to_vec();
    embed(SCOPES, &scope, &mut encoded);
    encoded
}

/// Unix time, nanoseconds.
pub fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos().try_into().unwrap_or(u64::MAX))
}

/// Appends a message as a field.
fn embed(field: u32, message: &[u8], out: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, out);
    encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
