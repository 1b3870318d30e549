//! Calls added up, as OTLP metrics (opentelemetry-proto, `metrics/v1/metrics.proto`): what each request tells is since the one before
//! (delta temporality), so that an agent keeps nothing of processes that are gone.
//!
//! | metric | kind | attributes |
//! | --- | --- | --- |
//! | `pytrace.calls` | monotonic sum, `{call}` | `pytrace.function`, `pytrace.effect`, `pytrace.outcome` |
//! | `pytrace.errors` | monotonic sum, `{call}` | `pytrace.function`, `pytrace.effect` |
//! | `pytrace.duration` | histogram, `s` | `pytrace.function`, `pytrace.effect` |
//!
//! Where there are too many functions the rest of a resource is one series, with `otel.metric.overflow`.

use std::{collections::HashMap, sync::Arc};

use indexmap::IndexMap;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, Sum, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use tracer_common::aggregate::{Aggregate, BUCKETS, bucket};

use super::{
    attributes::{attribute, text_value},
    batch::{Batch, MAX_BYTES, SCHEMA_URL, Signal, scope},
};

/// Series told apart between two requests, as OpenTelemetry's SDKs have it by default.
pub const MAX_SERIES: usize = 2000;
/// Resources at most; more are one, without attributes.
const MAX_RESOURCES: usize = 10_000;
/// Bounds of the histogram are 2^10 ns, 2^12 ns … 2^36 ns (69 s): ends of buckets of [`Aggregate`]. A duration that is
/// a bound is in the bucket above.
const FIRST_BITS: usize = 10;
const LAST_BITS: usize = 36;
const STEP_BITS: usize = 2;
const BOUNDS: usize = (LAST_BITS - FIRST_BITS) / STEP_BITS + 1;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Return,
    Yield,
    Raise,
    Unobserved,
}

/// As attributes have it, by [`Outcome`].
const OUTCOMES: [&str; 4] = ["return", "yield", "raise", "unobserved"];

/// A call. Names are as they may leave the host.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub function: &'a str,
    pub effect: &'a str,
    pub outcome: Outcome,
    pub duration_ns: Option<u64>,
    /// Calls that it stands for.
    pub weight: u64,
}

/// Calls of one function.
#[derive(Clone, Debug, Default)]
struct Series {
    /// By [`Outcome`].
    calls: [u64; 4],
    timed: u64,
    total_ns: u128,
    buckets: [u64; BOUNDS + 1],
}

/// Function and effect; both empty: the rest.
type Key = (Arc<str>, Arc<str>);

struct Group {
    resource: Arc<Resource>,
    series: HashMap<Key, Series>,
}

/// Adds calls up.
pub struct Aggregator {
    /// By the address of the resource, which the group keeps alive.
    groups: IndexMap<usize, Group>,
    max_series: usize,
    series: usize,
    since_ns: u64,
    overflown: u64,
    nobody: Arc<Resource>,
}

impl Aggregator {
    /// `now_ns`: Unix time; from then on calls are added up.
    pub fn new(max_series: usize, now_ns: u64) -> Self {
        Self {
            groups: IndexMap::new(),
            max_series,
            series: 0,
            since_ns: now_ns,
            overflown: 0,
            nobody: Arc::default(),
        }
    }

    /// Calls that were counted without their function, as there were too many.
    pub fn overflown(&self) -> u64 {
        self.overflown
    }

    /// Adds a call.
    pub fn observe(&mut self, resource: &Arc<Resource>, call: &Observed<'_>) {
        let series = self.series(resource, call.function, call.effect, call.weight);
        series.calls[call.outcome as usize] += call.weight;
        if let Some(ns) = call.duration_ns {
            series.timed += call.weight;
            series.total_ns += u128::from(ns) * u128::from(call.weight);
            series.buckets[histogram_bucket(bucket(ns))] += call.weight;
        }
    }

    /// Adds calls that were added up elsewhere: what came since it was said before, see [`Aggregate::since`].
    pub fn add(&mut self, resource: &Arc<Resource>, function: &str, effect: &str, calls: &Aggregate) {
        let series = self.series(resource, function, effect, calls.calls);
        series.calls[Outcome::Return as usize] += calls.ended.saturating_sub(calls.errors);
        series.calls[Outcome::Raise as usize] += calls.errors;
        series.calls[Outcome::Unobserved as usize] += calls.calls.saturating_sub(calls.ended);
        series.total_ns += u128::from(calls.total_ns);
        for (bits, count) in calls.histogram.iter().enumerate() {
            series.timed += count;
            series.buckets[histogram_bucket(bits)] += count;
        }
    }

    fn series(&mut self, resource: &Arc<Resource>, function: &str, effect: &str, calls: u64) -> &mut Series {
        let mut key = Arc::as_ptr(resource) as usize;
        let mut resource = resource;
        if !self.groups.contains_key(&key) && self.groups.len() >= MAX_RESOURCES {
            resource = &self.nobody;
            key = Arc::as_ptr(resource) as usize;
        }
        let group = self.groups.entry(key).or_insert_with(|| Group {
            resource: Arc::clone(resource),
            series: HashMap::new(),
        });
        let mut name: Key = (function.into(), effect.into());
        if !group.series.contains_key(&name) {
            if self.series < self.max_series {
                self.series += 1;
            } else {
                self.overflown += calls;
                name = ("".into(), "".into());
            }
        }
        group.series.entry(name).or_default()
    }

    /// What was added up, as requests; from then on it is added up anew.
    pub fn flush(&mut self, now_ns: u64) -> Vec<Batch> {
        let since_ns = std::mem::replace(&mut self.since_ns, now_ns);
        self.series = 0;
        let mut batches = Vec::new();
        let mut request = ExportMetricsServiceRequest::default();
        let (mut points, mut bytes) = (0, 0);
        let finish = |request: &mut ExportMetricsServiceRequest, points: &mut u64| Batch {
            signal: Signal::Metrics,
            records: std::mem::take(points),
            first_ns: since_ns,
            last_ns: now_ns,
            body: std::mem::take(request).encode_to_vec(),
        };
        for group in std::mem::take(&mut self.groups).into_values() {
            let (metrics, count) = resource_metrics(group, since_ns, now_ns);
            let len = metrics.encoded_len();
            if points > 0 && bytes + len > MAX_BYTES {
                batches.push(finish(&mut request, &mut points));
                bytes = 0;
            }
            request.resource_metrics.push(metrics);
            points += count;
            bytes += len;
        }
        if points > 0 {
            batches.push(finish(&mut request, &mut points));
        }
        batches
    }
}

/// Where durations of so many significant bits are counted.
fn histogram_bucket(bits: usize) -> usize {
    bits.saturating_sub(FIRST_BITS).div_ceil(STEP_BITS).min(BOUNDS)
}

const _: () = assert!(LAST_BITS < BUCKETS);

/// Upper bounds, in seconds.
fn bounds() -> Vec<f64> {
    let bits = (FIRST_BITS..=LAST_BITS).step_by(STEP_BITS);
    bits.map(|bits| (1u64 << bits) as f64 / 1e9).collect()
}

/// Metrics of a resource, and their data points.
fn resource_metrics(group: Group, since_ns: u64, now_ns: u64) -> (ResourceMetrics, u64) {
    let mut series: Vec<(Key, Series)> = group.series.into_iter().collect();
    // The same order each time: it compresses better.
    series.sort_by(|(a, _), (b, _)| a.cmp(b));
    let (mut calls, mut errors, mut durations) = (Vec::new(), Vec::new(), Vec::new());
    for (key, series) in series {
        let point = |outcome: Option<&str>, count| NumberDataPoint {
            attributes: attributes(&key, outcome),
            start_time_unix_nano: since_ns,
            time_unix_nano: now_ns,
            value: Some(number_data_point::Value::AsInt(signed(count))),
            ..NumberDataPoint::default()
        };
        for (name, count) in OUTCOMES.into_iter().zip(series.calls) {
            if count != 0 {
                calls.push(point(Some(name), count));
            }
        }
        let raised = series.calls[Outcome::Raise as usize];
        if raised != 0 {
            errors.push(point(None, raised));
        }
        if series.timed != 0 {
            durations.push(HistogramDataPoint {
                attributes: attributes(&key, None),
                start_time_unix_nano: since_ns,
                time_unix_nano: now_ns,
                count: series.timed,
                sum: Some(series.total_ns as f64 / 1e9),
                bucket_counts: series.buckets.to_vec(),
                explicit_bounds: bounds(),
                ..HistogramDataPoint::default()
            });
        }
    }
    let count = (calls.len() + errors.len() + durations.len()) as u64;
    let temporality = AggregationTemporality::Delta.into();
    let sum = |data_points: Vec<NumberDataPoint>| {
        let sum = Sum {
            data_points,
            aggregation_temporality: temporality,
            is_monotonic: true,
        };
        (!sum.data_points.is_empty()).then_some(Data::Sum(sum))
    };
    let durations = (!durations.is_empty()).then_some(Data::Histogram(Histogram {
        data_points: durations,
        aggregation_temporality: temporality,
    }));
    let metrics = [
        (
            "pytrace.calls",
            "Calls of functions with side effects",
            "{call}",
            sum(calls),
        ),
        ("pytrace.errors", "Calls that raised", "{call}", sum(errors)),
        (
            "pytrace.duration",
            "Time in calls that were seen to end",
            "s",
            durations,
        ),
    ];
    let metrics = metrics.into_iter().filter_map(|(name, description, unit, data)| {
        Some(Metric {
            name: name.to_owned(),
            description: description.to_owned(),
            unit: unit.to_owned(),
            data: Some(data?),
            ..Metric::default()
        })
    });
    let resource = ResourceMetrics {
        resource: Some(Resource::clone(&group.resource)),
        scope_metrics: vec![ScopeMetrics {
            scope: Some(scope()),
            metrics: metrics.collect(),
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    };
    (resource, count)
}

fn attributes((function, effect): &Key, outcome: Option<&str>) -> Vec<KeyValue> {
    let mut attributes = match function.is_empty() && effect.is_empty() {
        true => {
            let value = Some(any_value::Value::BoolValue(true));
            vec![attribute("otel.metric.overflow", AnyValue { value })]
        }
        false => vec![
            attribute("pytrace.function", text_value(&**function)),
            attribute("pytrace.effect", text_value(&**effect)),
        ],
    };
    if let Some(outcome) = outcome {
        attributes.push(attribute("pytrace.outcome", text_value(outcome)));
    }
    attributes
}

/// Counts of OTLP's sums are signed; none comes near the limit.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
