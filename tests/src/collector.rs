//! A collector that takes OTLP over HTTP, and keeps what comes.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{metric::Data, number_data_point},
};
use prost::Message as _;

/// A log record, with all texts and numbers as text.
#[derive(Clone, Debug, Default)]
pub struct LogRecord {
    pub resource: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub body: String,
}

/// Calls of a function, of a metric.
#[derive(Clone, Debug, Default)]
pub struct Point {
    pub resource: BTreeMap<String, String>,
    pub metric: String,
    pub attributes: BTreeMap<String, String>,
    pub count: i64,
}

impl LogRecord {
    /// An attribute; empty where it is not there.
    pub fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// One of its process.
    pub fn of(&self, key: &str) -> &str {
        self.resource.get(key).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct State {
    records: Vec<LogRecord>,
    points: Vec<Point>,
    /// It takes nothing now.
    away: bool,
    refused: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The collector. It ends with the test's process.
pub struct Collector {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        let shared = Arc::<Shared>::default();
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&server);
                thread::spawn(move || {
                    let _ = serve(stream, &shared);
                });
            }
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers that it is not there; or it does again.
    pub fn away(&self, away: bool) {
        self.shared.state.lock().expect("whole").away = away;
    }

    /// Waits until so many requests were refused since it went away.
    pub fn until_refused(&self, requests: usize) {
        let state = self.shared.state.lock().expect("whole");
        let waits = |state: &mut State| state.refused < requests;
        drop(self.shared.changed.wait_while(state, waits).expect("whole"));
    }

    /// Waits until what came is so; what came.
    pub fn until(&self, is_so: impl Fn(&[LogRecord]) -> bool) -> Vec<LogRecord> {
        let state = self.shared.state.lock().expect("whole");
        let waits = |state: &mut State| !is_so(&state.records);
        let state = self.shared.changed.wait_while(state, waits).expect("whole");
        state.records.clone()
    }

    /// What came so far of metrics that are sums.
    pub fn points(&self) -> Vec<Point> {
        self.shared.state.lock().expect("whole").points.clone()
    }

    /// What came so far.
    pub fn records(&self) -> Vec<LogRecord> {
        self.until(|_| true)
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let (mut len, mut gzip, mut metrics, mut line) = (0, false, false, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let header = line.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                len = value.trim().parse().unwrap_or(0);
            }
            metrics |= header.starts_with("post /v1/metrics ");
            gzip |= header == "content-encoding: gzip";
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let mut state = shared.state.lock().expect("whole");
        if state.away {
            state.refused += 1;
            shared.changed.notify_all();
            drop(state);
            writer.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")?;
            continue;
        }
        if gzip {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain)?;
            body = plain;
        }
        if metrics {
            let request = ExportMetricsServiceRequest::decode(&*body).expect("it is OTLP");
            state.points.extend(points(request));
        } else {
            let request = ExportLogsServiceRequest::decode(&*body).expect("it is OTLP");
            state.records.extend(records(request));
        }
        shared.changed.notify_all();
        drop(state);
        writer.write_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n",
        )?;
    }
}

fn records(request: ExportLogsServiceRequest) -> Vec<LogRecord> {
    let mut all = Vec::new();
    for of_process in request.resource_logs {
        let resource = attributes(of_process.resource.unwrap_or_default().attributes);
        for record in of_process
            .scope_logs
            .into_iter()
            .flat_map(|scope| scope.log_records)
        {
            all.push(LogRecord {
                resource: resource.clone(),
                attributes: attributes(record.attributes),
                body: text(record.body),
            });
        }
    }
    all
}

fn points(request: ExportMetricsServiceRequest) -> Vec<Point> {
    let mut all = Vec::new();
    for of_process in request.resource_metrics {
        let resource = attributes(of_process.resource.unwrap_or_default().attributes);
        for metric in of_process
            .scope_metrics
            .into_iter()
            .flat_map(|scope| scope.metrics)
        {
            let Some(Data::Sum(sum)) = metric.data else {
                continue;
            };
            for point in sum.data_points {
                all.push(Point {
                    resource: resource.clone(),
                    metric: metric.name.clone(),
                    attributes: attributes(point.attributes),
                    count: match point.value {
                        Some(number_data_point::Value::AsInt(count)) => count,
                        _ => 0,
                    },
                });
            }
        }
    }
    all
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    list.into_iter().map(|one| (one.key, text(one.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        other => format!("{other:?}"),
    }
}
