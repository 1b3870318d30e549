//! What records take on their way: reads OTLP/JSON lines (`replay --format otlp`) from standard input, batches them, compresses,
//! appends them to a spool in a directory, and, if there is an endpoint, sends them.
//!
//!     export_measure DIRECTORY [ENDPOINT grpc|http]

use std::{
    io::{BufRead as _, Write as _},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData};
use tracer_user::export::{
    batch::{Batch, Batcher, Signal, Uids},
    sender::{Protocol, Queue, Sender, Settings, Status},
    spool::{Limits, Spool},
};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("no directory")?);
    let mut records: Vec<LogRecord> = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let data: LogsData = serde_json::from_str(&line?)?;
        let scopes = data.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
        records.extend(scopes.flat_map(|scope| scope.log_records));
    }
    let start = Instant::now();
    let batches = batches(&records);
    let count = records.len() as u64;
    let rate = |start: Instant| (count as f64 / start.elapsed().as_secs_f64()) as u64;
    let raw: usize = batches.iter().map(|batch| batch.body.len()).sum();
    println!(
        "{count} records in {} batches, {} B a record, {} records/s",
        batches.len(),
        raw as u64 / count,
        rate(start)
    );
    for level in [1, 3, 6, 9] {
        let (start, mut len) = (Instant::now(), 0);
        for batch in &batches {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
            gzip.write_all(&batch.body)?;
            len += gzip.finish()?.len();
        }
        println!(
            "gzip {level}: {} B a record, {} records/s",
            len as u64 / count,
            rate(start)
        );
    }
    let start = Instant::now();
    let len: usize = batches
        .iter()
        .map(|batch| lz4_flex::compress(&batch.body).len())
        .sum();
    println!(
        "lz4: {} B a record, {} records/s",
        len as u64 / count,
        rate(start)
    );
    let limits = Limits {
        max_bytes: 1 << 30,
        max_age: Duration::from_secs(3600),
    };
    let mut spool = Spool::open(&folder.join("spool.sqlite"), limits)?;
    let start = Instant::now();
    for batch in &batches {
        spool.append(batch)?;
    }
    println!("appended to the spool: {} records/s", rate(start));
    let Some(endpoint) = args.next() else {
        return Ok(());
    };
    let protocol = match args.next().as_deref() {
        Some("http") => Protocol::Http,
        _ => Protocol::Grpc,
    };
    let start = Instant::now();
    send(spool, &Settings::new(&endpoint, protocol))?;
    println!("sent: {} records/s", rate(start));
    Ok(())
}

fn batches(records: &[LogRecord]) -> Vec<Batch> {
    let mut batcher = Batcher::new(Uids::new("0123456789abcdef", 0, u64::MAX));
    let resource = Arc::default();
    let now = Instant::now();
    let mut batches: Vec<Batch> = records
        .iter()
        .filter_map(|record| batcher.push(&resource, record, now))
        .collect();
    batches.extend(batcher.flush());
    batches
}

#[tokio::main(flavor = "current_thread")]
async fn send(spool: Spool, settings: &Settings) -> anyhow::Result<()> {
    let queue = Queue::new(spool);
    let status = Arc::new(Status::default());
    let sender = Sender::new(queue.clone(), settings, Arc::clone(&status))?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let task = tokio::spawn(sender.run(stopped));
    // What waits is sent first.
    stop.send_replace(true);
    task.await?;
    let counters = queue.counters(Signal::Logs).await?;
    println!("{counters:?} {:?}", status.snapshot());
    Ok(())
}
