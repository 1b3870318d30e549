//! Sends what waits in a spool by OTLP, oldest first, one request at a time.
//!
//! What a backend may take later is tried again, less and less often; what it will never take is dropped and counted.

mod answer;
mod error;
mod grpc;
mod http;
mod settings;
mod tls;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper::Uri;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

pub use answer::Answer;
pub use error::Error;
pub use settings::{Compression, Protocol, Retry, Settings, Tls};

use super::{
    batch::{Batch, Signal, Uids},
    spool::{self, Counters, Spool, Waiting},
};

/// What requests call this program.
const USER_AGENT: &str = concat!("pytrace-ebpf/", env!("CARGO_PKG_VERSION"));
/// How long what waits is still sent after one was asked to stop, as far as the backend takes it.
const GRACE: Duration = Duration::from_secs(5);

/// A spool that is written and sent from at the same time. Its file is used by threads that may wait for the disk.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

struct Shared {
    spool: Mutex<Spool>,
    appended: Notify,
}

impl Queue {
    pub fn new(spool: Spool) -> Self {
        Self {
            shared: Arc::new(Shared {
                spool: Mutex::new(spool),
                appended: Notify::new(),
            }),
        }
    }

    /// See [`Spool::append`].
    ///
    /// # Errors
    ///
    /// Those of [`Spool::append`].
    pub async fn append(&self, batch: Batch) -> Result<u64, spool::Error> {
        let dropped = self.with(move |spool| spool.append(&batch)).await;
        self.shared.appended.notify_one();
        dropped
    }

    /// See [`Spool::reserve`].
    ///
    /// # Errors
    ///
    /// Those of [`Spool::reserve`].
    pub async fn reserve(&self, count: u64) -> Result<Uids, spool::Error> {
        self.with(move |spool| spool.reserve(count)).await
    }

    /// See [`Spool::counters`].
    ///
    /// # Errors
    ///
    /// Those of [`Spool::counters`].
    pub async fn counters(&self, signal: Signal) -> Result<Counters, spool::Error> {
        self.with(move |spool| spool.counters(signal)).await
    }

    /// See [`Spool::put_aside`].
    pub fn put_aside(&self) -> Option<std::path::PathBuf> {
        self.lock().put_aside()
    }

    fn lock(&self) -> MutexGuard<'_, Spool> {
        // The file is as whole as after a crash.
        self.shared.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn with<T: Send + 'static>(&self, act: impl FnOnce(&mut Spool) -> T + Send + 'static) -> T {
        let queue = self.clone();
        let done = tokio::task::spawn_blocking(move || act(&mut queue.lock())).await;
        match done {
            Ok(done) => done,
            // It can only have panicked: nothing ends such a task from outside.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// What a sender did, for `/metrics` and `/healthz`.
#[derive(Debug, Default)]
pub struct Status {
    requests: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
    rejected: AtomicU64,
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    last: Mutex<Last>,
}

/// The last that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Why the last request failed, until one is taken.
    pub error: Option<String>,
    /// What the backend said when it did not take all of a request, or refused one.
    pub refusal: Option<String>,
}

/// Numbers of a [`Status`], since the sender began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub requests: u64,
    /// Requests that failed and are tried again.
    pub retries: u64,
    /// Requests that were refused for good.
    pub refused: u64,
    /// Records of requests that were taken, which the backend did not want.
    pub rejected: u64,
    /// Records that the backend has.
    pub sent: u64,
    /// Compressed bytes of requests that were taken.
    pub sent_bytes: u64,
    pub last: Last,
}

impl Status {
    pub fn snapshot(&self) -> Snapshot {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            requests: of(&self.requests),
            retries: of(&self.retries),
            refused: of(&self.refused),
            rejected: of(&self.rejected),
            sent: of(&self.sent),
            sent_bytes: of(&self.sent_bytes),
            last: self.last().clone(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(count: &AtomicU64, n: u64) {
        count.fetch_add(n, Ordering::Relaxed);
    }
}

/// The way to the backend.
enum Transport {
    Grpc(Box<grpc::Grpc>),
    Http(Box<http::Http>),
}

/// Sends what waits.
pub struct Sender {
    transport: Transport,
    retry: Retry,
    timeout: Duration,
    queue: Queue,
    status: Arc<Status>,
}

impl Sender {
    /// Connects when there is something to send. To be called in a runtime of tokio.
    ///
    /// # Errors
    ///
    /// The settings cannot be followed.
    pub fn new(queue: Queue, settings: &Settings, status: Arc<Status>) -> Result<Self, Error> {
        let uri = endpoint(&settings.endpoint)?;
        let transport = match settings.protocol {
            Protocol::Grpc => Transport::Grpc(Box::new(grpc::Grpc::new(settings, &uri)?)),
            Protocol::Http => Transport::Http(Box::new(http::Http::new(settings, &uri)?)),
        };
        Ok(Self {
            transport,
            retry: settings.retry,
            timeout: settings.timeout,
            queue,
            status,
        })
    }

    /// Sends until `stop` is true (or nobody can make it so any more); then what waits, as long as the backend takes it, but a
    /// few seconds at most.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        let mut until = None;
        loop {
            if *stop.borrow() || stop.has_changed().is_err() {
                let until = *until.get_or_insert_with(|| Instant::now() + GRACE);
                if failures > 0 || Instant::now() >= until {
                    return;
                }
            }
            let pause = match self.queue.with(Spool::oldest).await {
                Ok(Some(waiting)) => self.send(waiting, &mut failures).await,
                Ok(None) if until.is_some() => return,
                Ok(None) => Some(Duration::MAX),
                Err(error) => self.failed(&mut failures, error.to_string(), None),
            };
            if let Some(pause) = pause {
                self.wait(pause, &mut stop).await;
            }
        }
    }

    /// Waits so long, or until one is to stop; for the next batch if it is for ever.
    async fn wait(&self, pause: Duration, stop: &mut watch::Receiver<bool>) {
        let appended = self.queue.shared.appended.notified();
        let until = async {
            match pause {
                Duration::MAX => appended.await,
                pause => sleep(pause).await,
            }
        };
        tokio::select! {
            () = until => {}
            _ = stop.changed() => {}
        }
    }

    /// Sends a batch, and says in the spool what became of it; how long to wait before the next one.
    async fn send(&mut self, waiting: Waiting, failures: &mut u32) -> Option<Duration> {
        Status::add(&self.status.requests, 1);
        let answer = match timeout(self.timeout, self.transport.send(&waiting)).await {
            Ok(answer) => answer,
            Err(_) => Answer::Later {
                why: format!("no answer within {:?}", self.timeout),
                after: None,
            },
        };
        let written = match answer {
            Answer::Taken { rejected, message } => {
                let rejected = rejected.min(waiting.records);
                Status::add(&self.status.sent, waiting.records - rejected);
                Status::add(&self.status.sent_bytes, waiting.body.bytes.len() as u64);
                Status::add(&self.status.rejected, rejected);
                if message.is_some() {
                    self.status.last().refusal = message;
                }
                self.queue.with(move |spool| spool.sent(&waiting, rejected)).await
            }
            Answer::Never { why } => {
                Status::add(&self.status.refused, 1);
                self.status.last().refusal = Some(why);
                self.queue.with(move |spool| spool.refused(&waiting)).await
            }
            Answer::Later { why, after } => {
                Status::add(&self.status.retries, 1);
                self.queue.lock().not_sent();
                return self.failed(failures, why, after);
            }
        };
        match written {
            Ok(()) => {
                *failures = 0;
                self.status.last().error = None;
                None
            }
            Err(error) => self.failed(failures, error.to_string(), None),
        }
    }

    fn failed(&self, failures: &mut u32, why: String, after: Option<Duration>) -> Option<Duration> {
        self.status.last().error = Some(why);
        *failures = failures.saturating_add(1);
        Some(self.retry.pause(*failures, after, chance()))
    }
}

impl Transport {
    async fn send(&mut self, waiting: &Waiting) -> Answer {
        match self {
            Self::Http(http) => http.send(waiting.signal, waiting.body.clone()).await,
            Self::Grpc(grpc) => match waiting.body.request() {
                Some(request) => grpc.send(waiting.signal, request).await,
                None => Answer::Never {
                    why: "it cannot be decompressed any more".to_owned(),
                },
            },
        }
    }
}

impl Retry {
    /// How long to wait after so many failures in a row. `chance`: 0 to 1.
    fn pause(&self, failures: u32, after: Option<Duration>, chance: f64) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.first.saturating_mul(doubled).min(self.most);
        let own = longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        match after {
            Some(after) => after.min(self.asked).max(own),
            None => own,
        }
    }
}

/// A number from 0 to 1, so that agents that failed together do not come back together.
fn chance() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

fn endpoint(endpoint: &str) -> Result<Uri, Error> {
    let bad = |why: &str| Error::Endpoint {
        endpoint: endpoint.to_owned(),
        why: why.to_owned(),
    };
    let uri: Uri = endpoint.parse().map_err(|error| bad(&format!("{error}")))?;
    match (uri.scheme_str(), uri.host(), uri.query()) {
        (Some("http" | "https"), Some(_), None) => Ok(uri),
        (Some("http" | "https"), Some(_), Some(_)) => Err(bad("it has a `?`")),
        _ => Err(bad("it is not a URL with http or https")),
    }
}

#[cfg(test)]
#[path = "../sender_tests.rs"]
mod tests;
