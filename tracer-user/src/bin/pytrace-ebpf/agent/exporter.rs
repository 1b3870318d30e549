//! From the tracer's records to the collector: records get the resource of their process, batches of them go into the spool, and from
//! there they are sent, however long the collector is away.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use prost::Message as _;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep_until, timeout},
};
use tracer_user::export::{
    batch::{Batch, Batcher, Signal, unix_ns},
    environment,
    metrics::{Aggregator, MAX_SERIES, Observed, Outcome},
    redact::Redaction,
    resource,
    sender::{Queue, Sender, Settings, Status},
    spool::{Counters, Limits, Spool},
};

use super::{
    config::Config,
    fleet::{Member, Stage},
};

/// Names of records that are reserved at once, and how few may be left.
const NAMES: u64 = 1 << 20;
const FEW: u64 = 1 << 12;
/// How long the sender may still take what waits, once the agent ends.
const PATIENCE: Duration = Duration::from_secs(8);

/// How often calls that were added up are sent.
const METRICS: Duration = Duration::from_secs(60);

/// The spool's file, in the state directory.
pub const SPOOL: &str = "spool.sqlite";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

/// What became of records, for `/metrics`.
#[derive(Clone, Default)]
pub struct Counts {
    written: Counter,
    sent: Counter,
    dropped: Family<Why, Counter>,
    retries: Counter,
    bytes_sent: Counter,
    waiting: Gauge,
    bytes: Gauge,
}

impl Counts {
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "spool_records",
            "Records given to the spool",
            self.written.clone(),
        );
        registry.register(
            "otlp_records",
            "Records that the collector has",
            self.sent.clone(),
        );
        registry.register(
            "spool_dropped",
            "Records that never came to the collector, by why",
            self.dropped.clone(),
        );
        registry.register(
            "otlp_retries",
            "Requests that failed and were tried again",
            self.retries.clone(),
        );
        registry.register(
            "otlp_bytes",
            "Compressed bytes that the collector has",
            self.bytes_sent.clone(),
        );
        registry.register(
            "spool_waiting_records",
            "Records that wait in the spool",
            self.waiting.clone(),
        );
        registry.register(
            "spool_waiting_bytes",
            "Their compressed bytes",
            self.bytes.clone(),
        );
    }

    fn set(&self, counters: &Counters, status: &Status) {
        let up = |counter: &Counter, to: u64| {
            counter.inc_by(to.saturating_sub(counter.get()));
        };
        up(&self.written, counters.written);
        up(&self.sent, counters.sent);
        let dropped = counters.dropped;
        let whys = [
            ("full", dropped.full),
            ("old", dropped.old),
            ("refused", dropped.refused),
            ("damaged", dropped.damaged),
        ];
        for (why, count) in whys {
            up(&self.dropped.get_or_create(&Why { why }), count);
        }
        let status = status.snapshot();
        up(&self.retries, status.retries);
        up(&self.bytes_sent, status.sent_bytes);
        self.waiting.set(counters.waiting as i64);
        self.bytes.set(counters.bytes as i64);
    }
}

/// The way to the collector.
pub struct Exporter {
    queue: Queue,
    batcher: Batcher,
    resources: HashMap<u32, Arc<Resource>>,
    /// Of what is of no single process.
    host: Arc<Resource>,
    /// Said of everything: which machine it is, and what `OTEL_RESOURCE_ATTRIBUTES` says.
    everywhere: Vec<KeyValue>,
    /// Calls by function, since that time.
    sums: Aggregator,
    since: Instant,
    redaction: Redaction,
    counts: Counts,
    sending: Sending,
}

/// The sender that runs now.
struct Sending {
    settings: Settings,
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sending {
    fn start(queue: &Queue, settings: &Settings) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let status = Arc::<Status>::default();
        let sender = Sender::new(queue.clone(), settings, Arc::clone(&status)).context("[otlp]")?;
        Ok(Self {
            settings: settings.clone(),
            status,
            stop,
            task: tokio::spawn(sender.run(stopped)),
        })
    }

    /// Ends it, after what waits was sent as far as that goes quickly.
    async fn end(self) {
        let _ = self.stop.send(true);
        if timeout(PATIENCE, self.task).await.is_err() {
            log::info!("what waits in the spool is sent when the agent is started again");
        }
    }
}

impl Exporter {
    /// `None`: the configuration says nothing of a collector.
    pub async fn new(config: &Config, counts: Counts) -> anyhow::Result<Option<Self>> {
        let Some(settings) = settings(config)? else {
            return Ok(None);
        };
        let everywhere = everywhere()?;
        let path = config.agent.state_dir.join(SPOOL);
        let limits = Limits {
            max_bytes: config.spool.max_bytes.0,
            max_age: config.spool.max_age.0,
        };
        let spool = Spool::open(&path, limits).with_context(|| format!("the spool {}", path.display()))?;
        let queue = Queue::new(spool);
        if let Some(aside) = queue.put_aside() {
            log::error!(
                "the spool was damaged: it is {} now, and a new one is begun",
                aside.display()
            );
        }
        let names = queue.reserve(NAMES).await.context("the spool")?;
        Ok(Some(Self {
            sending: Sending::start(&queue, &settings)?,
            queue,
            batcher: Batcher::new(names),
            resources: HashMap::new(),
            host: Arc::new(resource::of(
                [resource::text("service.name", "pytrace-ebpf")]
                    .into_iter()
                    .chain(everywhere.iter().cloned())
                    .collect(),
            )),
            everywhere,
            sums: Aggregator::new(MAX_SERIES, unix_ns()),
            since: Instant::now(),
            redaction: Redaction::new(&config.redact)?,
            counts,
        }))
    }

    /// There is another configuration.
    pub async fn reload(&mut self, config: &Config) -> anyhow::Result<()> {
        self.redaction = Redaction::new(&config.redact)?;
        let Some(settings) = settings(config)?.filter(|settings| *settings != self.sending.settings) else {
            return Ok(());
        };
        let new = Sending::start(&self.queue, &settings)?;
        // What waits goes where the new one says.
        std::mem::replace(&mut self.sending, new).task.abort();
        Ok(())
    }

    /// A process is traced from now on.
    pub fn attached(&mut self, member: &Member, service: &str) {
        let Stage::Traced(traced) = &member.stage else {
            return;
        };
        let info = &member.info;
        let hidden = |text: &str| self.redaction.text(text).into_owned();
        let name = info.executable.rsplit('/').next().unwrap_or_default();
        let mut attributes = vec![
            resource::text("service.name", hidden(service)),
            resource::number("process.pid", info.pid),
            resource::text("process.executable.name", hidden(name)),
            resource::text("process.executable.path", hidden(&info.executable)),
            resource::text("process.owner", info.user[0].as_str()),
            resource::text("process.runtime.name", "cpython"),
            resource::text("process.runtime.version", traced.python.as_str()),
        ];
        let container = info
            .container
            .as_ref()
            .map(|id| resource::text("container.id", id.as_str()));
        let pod = info
            .pod
            .as_ref()
            .map(|uid| resource::text("k8s.pod.uid", uid.as_str()));
        attributes.extend(container.into_iter().chain(pod));
        attributes.extend(self.everywhere.iter().cloned());
        self.resources
            .insert(info.pid, Arc::new(resource::of(attributes)));
    }

    /// No record of that process comes any more.
    pub fn forget(&mut self, pid: u32) {
        self.resources.remove(&pid);
    }

    /// Takes a record.
    pub async fn record(&mut self, pid: u32, time_ns: u64, record: &[u8]) {
        let resource = self.resources.get(&pid).unwrap_or(&self.host);
        if let Ok(record) = LogRecord::decode(record)
            && let Some(call) = observed(&record)
        {
            self.sums.observe(resource, &call);
        }
        if let Some(batch) = self
            .batcher
            .push_encoded(resource, record, time_ns, Instant::now())
        {
            self.append(batch).await;
        }
        if self.batcher.uids_left() < FEW {
            match self.queue.reserve(NAMES).await {
                Ok(names) => self.batcher.give_uids(names),
                Err(error) => log::error!("the spool: {error}"),
            }
        }
    }

    async fn append(&mut self, batch: Batch) {
        if let Err(error) = self.queue.append(batch).await {
            log::error!("records are dropped: {error}");
        }
        if let Some(aside) = self.queue.put_aside() {
            log::error!(
                "the spool was damaged: it is {} now, and a new one is begun",
                aside.display()
            );
        }
    }

    /// Waits until what has come has waited for long enough.
    pub async fn due(&mut self) {
        let sums = self.since + METRICS;
        let due = self.batcher.due().map_or(sums, |records| records.min(sums));
        sleep_until(due.into()).await;
    }

    /// Keeps what has waited for long enough.
    pub async fn keep(&mut self) {
        let now = Instant::now();
        if self.batcher.due().is_some_and(|due| due <= now) {
            self.flush().await;
        }
        if self.since + METRICS <= now {
            self.flush_sums().await;
        }
    }

    async fn flush_sums(&mut self) {
        self.since = Instant::now();
        for batch in self.sums.flush(unix_ns()) {
            self.append(batch).await;
        }
    }

    /// Keeps what has come.
    pub async fn flush(&mut self) {
        if let Some(batch) = self.batcher.flush() {
            self.append(batch).await;
        }
    }

    /// Brings the counts up to date.
    pub async fn count(&self) {
        match self.queue.counters(Signal::Logs).await {
            Ok(counters) => self.counts.set(&counters, &self.sending.status),
            Err(error) => log::error!("the spool: {error}"),
        }
    }

    /// Keeps what is there, and sends it as far as that goes quickly.
    pub async fn end(mut self) {
        self.flush().await;
        self.flush_sums().await;
        self.sending.end().await;
    }
}

/// What is added up of a record; `None`: it is of no call.
fn observed(record: &LogRecord) -> Option<Observed<'_>> {
    let find = |key: &str| {
        let found = record.attributes.iter().find(|one| one.key == key)?;
        found.value.as_ref()?.value.as_ref()
    };
    let text = |key| match find(key) {
        Some(Value::StringValue(text)) => Some(text.as_str()),
        _ => None,
    };
    let number = |key| match find(key) {
        Some(Value::IntValue(number)) => u64::try_from(*number).ok(),
        _ => None,
    };
    Some(Observed {
        function: text("pytrace.function")?,
        effect: text("pytrace.effect")?,
        outcome: match text("pytrace.outcome")? {
            "return" => Outcome::Return,
            "yield" => Outcome::Yield,
            "raise" => Outcome::Raise,
            _ => Outcome::Unobserved,
        },
        duration_ns: number("pytrace.duration_ns"),
        weight: number("pytrace.weight").unwrap_or(1),
    })
}

/// `[otlp]`, and the headers that `OTEL_EXPORTER_OTLP_HEADERS` adds: where a cluster keeps them as a secret. `None`: there is no collector.
fn settings(config: &Config) -> anyhow::Result<Option<Settings>> {
    let mut settings = config.otlp.clone();
    if let Some(settings) = &mut settings {
        for (name, value) in environment::read(environment::HEADERS)? {
            settings.headers.entry(name).or_insert(value);
        }
    }
    Ok(settings)
}

/// What is said of everything. What the agent itself is called is not what the processes are.
fn everywhere() -> anyhow::Result<Vec<KeyValue>> {
    let mut all = environment::read(environment::RESOURCE)?;
    all.retain(|name, _| !name.starts_with("service."));
    all.entry("host.name".to_owned()).or_insert_with(host);
    Ok(all
        .into_iter()
        .map(|(name, value)| resource::text(&name, value))
        .collect())
}

/// What this machine is called.
fn host() -> String {
    let name = nix::unistd::gethostname().ok();
    name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
