//! What records take on the wire: reads OTLP/JSON lines (`replay --format otlp`), batches them, and compresses.

use std::{io::BufRead as _, io::Write as _, sync::Arc, time::Instant};

use opentelemetry_proto::tonic::logs::v1::LogsData;
use tracer_user::export::batch::{Batcher, Uids};

fn main() -> anyhow::Result<()> {
    let mut batcher = Batcher::new(Uids::new("0123456789abcdef", 0, u64::MAX));
    let mut batches = Vec::new();
    let resource = Arc::default();
    let mut all = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let data: LogsData = serde_json::from_str(&line?)?;
        for mut logs in data.resource_logs {
            all.append(&mut logs.scope_logs[0].log_records);
        }
    }
    let start = Instant::now();
    for record in &all {
        batches.extend(batcher.push(&resource, record, Instant::now()));
    }
    batches.extend(batcher.flush());
    let took = start.elapsed();
    let records: u64 = batches.iter().map(|batch| batch.records).sum();
    let raw: usize = batches.iter().map(|batch| batch.body.len()).sum();
    println!(
        "{records} records, {} batches, raw {} B a record, encoded in {took:?}",
        batches.len(),
        raw as u64 / records
    );
    for level in [1, 3, 6, 9] {
        let start = Instant::now();
        let mut len = 0;
        for batch in &batches {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
            gz.write_all(&batch.body)?;
            len += gz.finish()?.len();
        }
        println!(
            "gzip -{level}: {} B a record, {:?}",
            len as u64 / records,
            start.elapsed()
        );
    }
    let start = Instant::now();
    let len: usize = batches
        .iter()
        .map(|batch| lz4_flex::compress(&batch.body).len())
        .sum();
    println!("lz4: {} B a record, {:?}", len as u64 / records, start.elapsed());
    std::fs::write("/tmp/w/batch.bin", &batches[0].body)?;
    Ok(())
}
