use std::{fs, path::PathBuf, time::Duration};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, logs::v1::LogRecord, metrics::v1::ResourceMetrics,
    resource::v1::Resource,
};
use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use super::*;
use crate::export::{
    backend::{Backend, Reply},
    batch::Batcher,
    spool::Limits,
    spool::test_folder::Folder,
};

const LOCAL: &str = "127.0.0.1:0";
const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

fn queue(folder: &Folder) -> Queue {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_age: Duration::from_secs(3600),
    };
    Queue::new(Spool::open(&folder.spool(), limits).unwrap())
}

/// Appends a batch of so many records; their uids.
async fn append(queue: &Queue, records: u64) {
    let mut batcher = Batcher::new(queue.reserve(records).await.unwrap());
    let resource = Arc::new(Resource::default());
    for _ in 0..records {
        batcher.push(&resource, &LogRecord::default(), std::time::Instant::now());
    }
    queue.append(batcher.flush().unwrap()).await.unwrap();
}

fn settings(protocol: Protocol, address: impl std::fmt::Display) -> Settings {
    let mut settings = Settings::new(&format!("http://{address}"), protocol);
    settings.retry.first = Duration::from_millis(10);
    settings.retry.most = Duration::from_millis(20);
    settings
}

/// A sender at work.
struct Running {
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(queue: &Queue, settings: &Settings) -> Self {
        let status = Arc::new(Status::default());
        let sender = Sender::new(queue.clone(), settings, Arc::clone(&status)).unwrap();
        let (stop, stopped) = watch::channel(false);
        Self {
            status,
            stop,
            task: tokio::spawn(sender.run(stopped)),
        }
    }

    async fn stop(self) -> Snapshot {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        self.status.snapshot()
    }
}

/// All that waits is sent to a backend that answers like this; what both say of it.
async fn sent(protocol: Protocol, batches: &[u64], replies: &[Reply]) -> (Backend, Snapshot, Counters) {
    let folder = Folder::new();
    let queue = queue(&folder);
    let backend = Backend::start(LOCAL, None, replies).await;
    for records in batches {
        append(&queue, *records).await;
    }
    let running = Running::start(&queue, &settings(protocol, backend.address));
    let least = batches.len();
    backend.until(|came| came.requests >= least).await;
    // Of one that answers only later there may be more to come.
    while queue.counters(Signal::Logs).await.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    let snapshot = running.stop().await;
    let counters = queue.counters(Signal::Logs).await.unwrap();
    assert_eq!(counters.written, counters.sent + counters.dropped.all());
    assert_eq!(counters.sent, snapshot.sent);
    (backend, snapshot, counters)
}

#[tokio::test]
async fn all_arrives_once_in_order() {
    for protocol in PROTOCOLS {
        let (backend, snapshot, counters) = sent(protocol, &[2, 3, 1], &[]).await;
        let uids = backend.with(|came| came.uids.clone());
        let numbers: Vec<&str> = uids.iter().map(|uid| uid.split_once('-').unwrap().1).collect();
        assert_eq!(numbers, ["0", "1", "2", "3", "4", "5"]);
        assert_eq!((snapshot.requests, snapshot.retries, counters.sent), (3, 0, 6));
        assert!(snapshot.sent_bytes > 0);
    }
}

#[tokio::test]
async fn what_may_come_later_is_tried_again() {
    let later = [
        Reply::Fail(Code::Unavailable, 503, None),
        Reply::Fail(Code::ResourceExhausted, 429, Some(0)),
    ];
    for protocol in PROTOCOLS {
        let (backend, snapshot, _) = sent(protocol, &[2, 1], &later).await;
        assert_eq!(backend.with(|came| came.uids.len()), 3);
        assert_eq!((snapshot.requests, snapshot.retries, snapshot.sent), (4, 2, 3));
        assert_eq!(snapshot.last.error, None, "it works again");
    }
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_counted() {
    let never = [
        Reply::Fail(Code::InvalidArgument, 400, None),
        // Without a time to wait gRPC means never.
        Reply::Fail(Code::ResourceExhausted, 404, None),
    ];
    for protocol in PROTOCOLS {
        let (backend, snapshot, counters) = sent(protocol, &[2, 1, 4], &never).await;
        assert_eq!(backend.with(|came| came.uids.len()), 4);
        assert_eq!((snapshot.refused, counters.dropped.refused), (2, 3));
        let refusal = snapshot.last.refusal.unwrap();
        assert!(
            refusal.contains("ResourceExhausted: no") || refusal.contains("404"),
            "{refusal}"
        );
    }
}

#[tokio::test]
async fn a_partial_success_is_counted() {
    for protocol in PROTOCOLS {
        let (_, snapshot, counters) = sent(protocol, &[5], &[Reply::Partly(2)]).await;
        assert_eq!((snapshot.sent, snapshot.rejected), (3, 2));
        assert_eq!((counters.sent, counters.dropped.refused), (3, 2));
        assert_eq!(snapshot.last.refusal.as_deref(), Some("too old"));
    }
}

#[tokio::test]
async fn a_lost_answer_makes_the_same_records_come_again() {
    for protocol in PROTOCOLS {
        let (backend, snapshot, counters) = sent(protocol, &[2, 1], &[Reply::TakeAndClose]).await;
        let uids = backend.with(|came| came.uids.clone());
        assert_eq!(uids[..2], uids[2..4], "the same names");
        assert_eq!((uids.len(), snapshot.retries, counters.sent), (5, 1, 3));
    }
}

#[tokio::test]
async fn a_backend_that_hangs_is_tried_again() {
    for protocol in PROTOCOLS {
        let folder = Folder::new();
        let queue = queue(&folder);
        let backend = Backend::start(LOCAL, None, &[Reply::Hang]).await;
        append(&queue, 1).await;
        let mut settings = settings(protocol, backend.address);
        settings.timeout = Duration::from_millis(200);
        let running = Running::start(&queue, &settings);
        backend.until(|came| came.uids.len() == 1).await;
        let snapshot = running.stop().await;
        assert_eq!((snapshot.requests, snapshot.retries, snapshot.sent), (2, 1, 1));
    }
}

/// Waits until the sender says that something is wrong; what.
async fn error(running: &Running) -> String {
    loop {
        if let Some(error) = running.status.snapshot().last.error {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_backend_that_is_down_and_a_restart_lose_nothing_and_send_nothing_twice() {
    for protocol in PROTOCOLS {
        let folder = Folder::new();
        let first = queue(&folder);
        // A port at which nobody listens.
        let address = Backend::start(LOCAL, None, &[]).await.address.to_string();
        let refused = |gone: std::io::Error| gone.kind() == std::io::ErrorKind::ConnectionRefused;
        while !tokio::net::TcpStream::connect(&address).await.is_err_and(refused) {
            tokio::task::yield_now().await;
        }
        append(&first, 2).await;
        let running = Running::start(&first, &settings(protocol, &address));
        let why = error(&running).await;
        assert!(why.contains("refused"), "{why}");
        append(&first, 3).await;
        let snapshot = running.stop().await;
        assert!(snapshot.retries > 0 && snapshot.sent == 0);
        drop(first);

        let second = queue(&folder);
        append(&second, 1).await;
        let running = Running::start(&second, &settings(protocol, &address));
        error(&running).await;
        let backend = Backend::start(&address, None, &[]).await;
        backend.until(|came| came.uids.len() >= 6).await;
        // It goes and comes again while batches come.
        drop(backend);
        append(&second, 4).await;
        while std::net::TcpListener::bind(&address).is_err() {
            tokio::task::yield_now().await;
        }
        let backend = Backend::start(&address, None, &[]).await;
        append(&second, 2).await;
        backend.until(|came| came.uids.len() >= 6).await;
        running.stop().await;
        let counters = second.counters(Signal::Logs).await.unwrap();
        assert_eq!((counters.written, counters.sent, counters.waiting), (12, 12, 0));
        let mut uids = backend.with(|came| came.uids.clone());
        uids.dedup();
        assert_eq!(uids.len(), 6, "none twice");
    }
}

#[tokio::test]
async fn metrics_go_where_metrics_go() {
    for protocol in PROTOCOLS {
        let folder = Folder::new();
        let queue = queue(&folder);
        let backend = Backend::start(LOCAL, None, &[Reply::Take, Reply::Partly(1)]).await;
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics::default()],
        };
        let batch = Batch {
            signal: Signal::Metrics,
            records: 3,
            first_ns: 1,
            last_ns: 2,
            body: request.encode_to_vec(),
        };
        queue.append(batch.clone()).await.unwrap();
        queue.append(batch).await.unwrap();
        let running = Running::start(&queue, &settings(protocol, backend.address));
        backend.until(|came| came.metrics.len() == 2).await;
        running.stop().await;
        assert!(backend.with(|came| came.metrics.iter().all(|came| *came == request)));
        let counters = queue.counters(Signal::Metrics).await.unwrap();
        assert_eq!((counters.sent, counters.dropped.refused), (5, 1));
        assert_eq!(queue.counters(Signal::Logs).await.unwrap(), Counters::default());
    }
}

#[tokio::test]
async fn headers_are_sent_and_compression_is_a_choice() {
    for protocol in PROTOCOLS {
        for compression in [Compression::Gzip, Compression::None] {
            let folder = Folder::new();
            let queue = queue(&folder);
            let backend = Backend::start(LOCAL, None, &[]).await;
            append(&queue, 1).await;
            let mut settings = settings(protocol, backend.address);
            settings.headers.insert("Api-Key".into(), "hush".into());
            settings.compression = compression;
            let running = Running::start(&queue, &settings);
            backend.until(|came| came.uids.len() == 1).await;
            running.stop().await;
            let headers = backend.with(|came| came.headers[0].clone());
            assert_eq!(headers["api-key"], "hush");
            assert!(
                headers["user-agent"]
                    .to_str()
                    .unwrap()
                    .starts_with("pytrace-ebpf/")
            );
            let encoding = headers
                .get("content-encoding")
                .or_else(|| headers.get("grpc-encoding"));
            assert_eq!(encoding.is_some(), compression == Compression::Gzip);
        }
    }
}

/// Certificates of a test: a CA, and what it signed for the server and for a client.
struct Certificates {
    ca: String,
    server: (CertificateParams, KeyPair, String),
    client: (KeyPair, String),
}

fn certificates() -> Certificates {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &ca).unwrap().pem();
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["agent".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &ca).unwrap().pem();
    Certificates {
        ca: ca.pem(),
        server: (params, key, signed),
        client: (client_key, client),
    }
}

impl Certificates {
    /// What the server does. `asks`: for the client's certificate.
    fn acceptor(&self, asks: bool) -> TlsAcceptor {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        let one = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(one(&self.ca)).unwrap();
        let builder = match asks {
            true => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            ),
            false => builder.with_no_client_auth(),
        };
        let (_, key, cert) = &self.server;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = builder.with_single_cert(vec![one(cert)], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Writes what a client needs.
    fn files(&self, folder: &Folder) -> Tls {
        let write = |name: &str, pem: &str| -> Option<PathBuf> {
            let path = folder.file(name);
            fs::write(&path, pem).unwrap();
            Some(path)
        };
        Tls {
            ca: write("ca.pem", &self.ca),
            cert: write("client.pem", &self.client.1),
            key: write("client.key", &self.client.0.serialize_pem()),
        }
    }
}

#[tokio::test]
async fn tls_knows_the_server_and_the_client() {
    let (own, others) = (certificates(), certificates());
    for protocol in PROTOCOLS {
        for asks in [false, true] {
            let folder = Folder::new();
            let queue = queue(&folder);
            let backend = Backend::start(LOCAL, Some(own.acceptor(asks)), &[]).await;
            append(&queue, 1).await;
            let mut settings = settings(protocol, "x");
            settings.endpoint = format!("https://{}", backend.address);
            // A server that somebody else signed for.
            settings.tls = others.files(&folder);
            let running = Running::start(&queue, &settings);
            let why = error(&running).await;
            assert!(why.contains("certificate"), "{why}");
            running.stop().await;
            settings.tls = own.files(&folder);
            if asks {
                // One that does not say who it is.
                let (cert, key) = (settings.tls.cert.take(), settings.tls.key.take());
                let running = Running::start(&queue, &settings);
                error(&running).await;
                running.stop().await;
                (settings.tls.cert, settings.tls.key) = (cert, key);
            }
            assert_eq!(backend.with(|came| came.requests), 0);
            let running = Running::start(&queue, &settings);
            backend.until(|came| came.uids.len() == 1).await;
            assert_eq!(running.stop().await.sent, 1);
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_be_followed_are_said() {
    let folder = Folder::new();
    let queue = queue(&folder);
    let refused = |settings: &Settings| {
        let made = Sender::new(queue.clone(), settings, Arc::default());
        made.map(drop).unwrap_err().to_string()
    };
    for protocol in PROTOCOLS {
        for endpoint in [
            "",
            "collector:4317",
            "ftp://x",
            "http://",
            "http://x/?a",
            "http://a b",
        ] {
            let why = refused(&Settings::new(endpoint, protocol));
            assert!(
                why.contains("is no endpoint") && why.contains("http://127.0.0.1:4317"),
                "{why}"
            );
        }
        for (name, value) in [("a b", "x"), ("a", "x\ny")] {
            let mut settings = settings(protocol, "x");
            settings.headers.insert(name.into(), value.into());
            assert!(refused(&settings).contains("no header that can be sent"));
        }
        let with = |tls: Tls| {
            let mut settings = Settings::new("https://x", protocol);
            settings.tls = tls;
            refused(&settings)
        };
        let good = certificates().files(&folder);
        let text = folder.file("text");
        fs::write(&text, "text").unwrap();
        let text = Some(text);
        let none = Some(folder.file("none"));
        assert!(
            with(Tls {
                ca: none,
                ..good.clone()
            })
            .contains("cannot read")
        );
        assert!(
            with(Tls {
                ca: text.clone(),
                ..good.clone()
            })
            .contains("there are none")
        );
        assert!(
            with(Tls {
                key: None,
                ..good.clone()
            })
            .contains("both")
        );
        assert!(
            with(Tls {
                key: text.clone(),
                ..good.clone()
            })
            .contains("no private key")
        );
        assert!(with(Tls { cert: text, ..good }).contains("no certificates"));
    }
}

#[test]
fn pauses_become_longer_and_a_backend_may_ask_for_more() {
    let retry = Retry::default();
    let seconds = |failures, after: Option<u64>, chance| {
        retry
            .pause(failures, after.map(Duration::from_secs), chance)
            .as_secs_f64()
    };
    assert_eq!(
        [1, 2, 3, 7, 100].map(|failures| seconds(failures, None, 1.0)),
        [1.0, 2.0, 4.0, 60.0, 60.0]
    );
    assert_eq!(seconds(2, None, 0.0), 1.0);
    assert_eq!(seconds(1, Some(90), 1.0), 90.0);
    assert_eq!(seconds(1, Some(1 << 40), 1.0), 3600.0);
    assert_eq!(seconds(7, Some(1), 1.0), 60.0);
    assert!((0.0..=1.0).contains(&chance()));
}

#[tokio::test]
async fn a_damaged_body_is_refused() {
    for compression in [Compression::Gzip, Compression::None] {
        for protocol in PROTOCOLS {
            let folder = Folder::new();
            let mut settings = settings(protocol, "127.0.0.1:1");
            settings.compression = compression;
            let mut sender = Sender::new(queue(&folder), &settings, Arc::default()).unwrap();
            let waiting = Waiting {
                id: 1,
                signal: Signal::Logs,
                records: 1,
                body: spool::Body { bytes: vec![1, 2] },
                generation: 0,
            };
            let answer = sender.transport.send(&waiting).await;
            // As it is, it is not looked at.
            let looked = protocol == Protocol::Grpc || compression == Compression::None;
            assert_eq!(matches!(answer, Answer::Never { .. }), looked, "{answer:?}");
        }
    }
}
