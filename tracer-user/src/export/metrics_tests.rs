use super::*;
use crate::export::resource;

fn process(pid: u32) -> Arc<Resource> {
    Arc::new(resource::of(vec![resource::number("process.pid", pid)]))
}

fn call(function: &str, outcome: Outcome, duration_ns: Option<u64>, weight: u64) -> Observed<'_> {
    Observed {
        function,
        effect: "file.open",
        outcome,
        duration_ns,
        weight,
    }
}

fn requests(batches: &[Batch]) -> Vec<ExportMetricsServiceRequest> {
    let decode = |batch: &Batch| ExportMetricsServiceRequest::decode(&*batch.body).unwrap();
    batches.iter().map(decode).collect()
}

fn text(attributes: &[KeyValue]) -> String {
    let all = attributes.iter().map(|attribute| {
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            _ => attribute.key.clone(),
        }
    });
    all.collect::<Vec<_>>().join(" ")
}

/// `metric function effect outcome = count`, of one resource.
fn lines(metrics: &ResourceMetrics) -> Vec<String> {
    let mut lines = Vec::new();
    for metric in &metrics.scope_metrics[0].metrics {
        match metric.data.as_ref().unwrap() {
            Data::Sum(sum) => {
                assert!(sum.is_monotonic);
                assert_eq!(sum.aggregation_temporality, AggregationTemporality::Delta as i32);
                for point in &sum.data_points {
                    let Some(number_data_point::Value::AsInt(count)) = point.value else {
                        panic!("{point:?}")
                    };
                    lines.push(format!("{} {} = {count}", metric.name, text(&point.attributes)));
                }
            }
            Data::Histogram(histogram) => {
                assert_eq!(
                    histogram.aggregation_temporality,
                    AggregationTemporality::Delta as i32
                );
                for point in &histogram.data_points {
                    let full = point
                        .bucket_counts
                        .iter()
                        .zip(0..)
                        .filter(|(count, _)| **count != 0);
                    let full: Vec<String> = full.map(|(count, at)| format!("{at}:{count}")).collect();
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    lines.push(format!(
                        "{} {} = {} {:?} {}",
                        metric.name,
                        text(&point.attributes),
                        point.count,
                        point.sum.unwrap(),
                        full.join(" ")
                    ));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    lines
}

#[test]
fn calls_are_added_up_since_the_last_request() {
    let a = process(1);
    let mut aggregator = Aggregator::new(10, 5);
    assert_eq!(aggregator.flush(6), []);
    aggregator.observe(&a, &call("open", Outcome::Return, Some(1000), 128));
    aggregator.observe(&a, &call("open", Outcome::Raise, Some(1024), 1));
    aggregator.observe(&a, &call("open", Outcome::Yield, Some(1 << 50), 1));
    aggregator.observe(&a, &call("open", Outcome::Unobserved, None, 2));
    aggregator.observe(&a, &call("close", Outcome::Return, Some(0), 1));
    let batches = aggregator.flush(9);
    assert_eq!(
        (batches[0].first_ns, batches[0].last_ns, batches[0].records),
        (6, 9, 8)
    );
    let request = &requests(&batches)[0];
    assert_eq!(request.resource_metrics[0].resource.as_ref(), Some(&*a));
    assert_eq!(
        lines(&request.resource_metrics[0]),
        [
            "pytrace.calls close file.open return = 1",
            "pytrace.calls open file.open return = 128",
            "pytrace.calls open file.open yield = 1",
            "pytrace.calls open file.open raise = 1",
            "pytrace.calls open file.open unobserved = 2",
            "pytrace.errors open file.open = 1",
            "pytrace.duration close file.open = 1 0.0 0:1",
            "pytrace.duration open file.open = 130 1125899.906971648 0:128 1:1 14:1",
        ]
    );
    assert_eq!(aggregator.flush(10), []);
}

#[test]
fn sums_of_the_kernel_are_added_exactly() {
    let a = process(1);
    let mut aggregator = Aggregator::new(10, 5);
    let mut calls = Aggregate {
        calls: 10,
        ended: 8,
        errors: 3,
        total_ns: 2_000_000_000,
        ..Aggregate::default()
    };
    calls.histogram[bucket(1000)] = 6;
    calls.histogram[bucket(5000)] = 2;
    aggregator.add(&a, "open", "file.open", &calls);
    aggregator.observe(&a, &call("open", Outcome::Return, Some(5000), 1));
    assert_eq!(
        lines(&requests(&aggregator.flush(9))[0].resource_metrics[0]),
        [
            "pytrace.calls open file.open return = 6",
            "pytrace.calls open file.open raise = 3",
            "pytrace.calls open file.open unobserved = 2",
            "pytrace.errors open file.open = 3",
            "pytrace.duration open file.open = 9 2.000005 0:6 2:3",
        ]
    );
}

#[test]
fn a_bound_is_the_end_of_a_bucket() {
    let bounds = bounds();
    assert_eq!(bounds.len(), BOUNDS);
    for ns in (0..40).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]) {
        let expected = bounds.iter().filter(|bound| ns as f64 / 1e9 >= **bound).count();
        assert_eq!(histogram_bucket(bucket(ns)), expected, "{ns}");
    }
}

#[test]
fn what_is_too_much_is_counted_together() {
    let (a, b) = (process(1), process(2));
    let mut aggregator = Aggregator::new(2, 5);
    for function in ["a", "b", "c", "d", "a"] {
        aggregator.observe(&a, &call(function, Outcome::Raise, None, 2));
    }
    aggregator.observe(&b, &call("a", Outcome::Return, None, 1));
    assert_eq!(aggregator.overflown(), 5);
    let request = &requests(&aggregator.flush(9))[0];
    assert_eq!(
        lines(&request.resource_metrics[0])[..3],
        [
            "pytrace.calls otel.metric.overflow raise = 4",
            "pytrace.calls a file.open raise = 4",
            "pytrace.calls b file.open raise = 2",
        ]
    );
    assert_eq!(
        lines(&request.resource_metrics[1]),
        ["pytrace.calls otel.metric.overflow return = 1"]
    );
    // There is room again.
    aggregator.observe(&b, &call("a", Outcome::Return, None, 1));
    assert_eq!(
        lines(&requests(&aggregator.flush(10))[0].resource_metrics[0]),
        ["pytrace.calls a file.open return = 1"]
    );
}

#[test]
fn requests_and_resources_have_a_bound() {
    let mut aggregator = Aggregator::new(20_000, 5);
    let processes: Vec<_> = (0..MAX_RESOURCES as u32 + 5).map(process).collect();
    for process in &processes {
        aggregator.observe(process, &call("open", Outcome::Return, Some(1), 1));
    }
    let batches = aggregator.flush(9);
    assert!(batches.len() > 1);
    assert!(
        batches
            .iter()
            .all(|batch| batch.body.len() <= MAX_BYTES + 64 * 1024)
    );
    let resources: Vec<_> = requests(&batches)
        .into_iter()
        .flat_map(|request| request.resource_metrics)
        .collect();
    assert_eq!(resources.len(), MAX_RESOURCES + 1);
    assert_eq!(
        lines(resources.last().unwrap())[0],
        "pytrace.calls open file.open return = 5"
    );
}
