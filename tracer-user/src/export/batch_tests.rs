use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

use super::*;
use crate::export::resource;

fn batcher() -> Batcher {
    Batcher::new(Uids::new("abc", 10, 1 << 40))
}

fn process(pid: u32) -> Arc<Resource> {
    Arc::new(resource::of(vec![resource::number("process.pid", pid)]))
}

fn record(body: &str, time_unix_nano: u64) -> LogRecord {
    LogRecord {
        time_unix_nano,
        body: Some(text_value(body)),
        ..LogRecord::default()
    }
}

fn decoded(batch: &Batch) -> ExportLogsServiceRequest {
    let mut request = ExportLogsServiceRequest::decode(&*batch.body).unwrap();
    for logs in &mut request.resource_logs {
        for record in &mut logs.scope_logs[0].log_records {
            // It is now, or was just.
            assert!(unix_ns() - std::mem::take(&mut record.observed_time_unix_nano) < 60_000_000_000);
        }
    }
    request
}

#[test]
fn records_come_by_resource_with_names() {
    let (a, b, now) = (process(1), process(2), Instant::now());
    let mut batcher = batcher();
    assert_eq!((batcher.due(), batcher.flush()), (None, None));
    for (resource, body, time) in [(&a, "x", 7), (&b, "y", 5), (&a, "z", 0)] {
        assert_eq!(batcher.push(resource, &record(body, time), now), None);
    }
    assert_eq!(batcher.due(), Some(now + MAX_WAIT));
    let batch = batcher.flush().unwrap();
    assert_eq!((batch.records, batch.first_ns, batch.last_ns), (3, 5, 7));
    let named = |body, time, uid: &str| LogRecord {
        attributes: vec![attribute("log.record.uid", text_value(uid))],
        ..record(body, time)
    };
    let of = |resource: &Arc<Resource>, log_records| ResourceLogs {
        resource: Some(Resource::clone(resource)),
        scope_logs: vec![ScopeLogs {
            scope: Some(scope()),
            log_records,
            schema_url: SCHEMA_URL.into(),
        }],
        schema_url: SCHEMA_URL.into(),
    };
    let expected = [
        of(&a, vec![named("x", 7, "abc-a"), named("z", 0, "abc-c")]),
        of(&b, vec![named("y", 5, "abc-b")]),
    ];
    assert_eq!(decoded(&batch).resource_logs, expected);
    assert_eq!((batcher.due(), batcher.flush()), (None, None));
}

#[test]
fn a_batch_has_a_bound() {
    let (a, now) = (process(1), Instant::now());
    let mut batcher = batcher();
    let large = record(&"x".repeat(100_000), 1);
    let mut batches = Vec::new();
    for _ in 0..12 {
        batches.extend(batcher.push(&a, &large, now));
    }
    batches.extend(batcher.flush());
    let records: Vec<u64> = batches.iter().map(|batch| batch.records).collect();
    assert_eq!(records, [5, 5, 2]);
    assert!(batches.iter().all(|batch| batch.body.len() <= MAX_BYTES + 1024));
    // One that is larger than the bound goes alone.
    let huge = record(&"x".repeat(MAX_BYTES), 1);
    assert_eq!(batcher.push(&a, &huge, now), None);
    assert_eq!(batcher.push(&a, &large, now).unwrap().records, 1);
}

#[test]
fn names_end_where_they_were_reserved() {
    let (a, now) = (process(1), Instant::now());
    let mut batcher = Batcher::new(Uids::new("i", 0, 1));
    batcher.push(&a, &record("x", 1), now);
    assert_eq!(batcher.uids_left(), 0);
    batcher.push(&a, &record("y", 1), now);
    batcher.give_uids(Uids::new("i", 255, 300));
    batcher.push(&a, &record("z", 1), now);
    let text = format!("{:?}", decoded(&batcher.flush().unwrap()));
    assert_eq!(text.matches("log.record.uid").count(), 2);
    assert!(text.contains("\"i-0\"") && text.contains("\"i-ff\""));
}
