//! A backend for tests of the sender: OTLP over gRPC and HTTP at one port, with answers by order.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use flate2::read::GzDecoder;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::ExportMetricsServiceRequest,
    },
    common::v1::any_value,
};
use prost::Message as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What the backend does with a request.
#[derive(Clone, Copy, Debug)]
pub enum Reply {
    Take,
    /// All but so many.
    Partly(i64),
    /// As gRPC or HTTP has it, and after how many milliseconds it may come again.
    Fail(Code, u16, Option<u64>),
    /// It takes the request, and goes without an answer.
    TakeAndClose,
    /// It never answers.
    Hang,
}

/// What came.
#[derive(Debug, Default)]
pub struct Came {
    replies: VecDeque<Reply>,
    /// `log.record.uid` of each record, in the order in which they came.
    pub uids: Vec<String>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub headers: Vec<HeaderMap>,
    pub requests: usize,
}

/// A backend, until it is dropped.
pub struct Backend {
    pub address: SocketAddr,
    came: Arc<Mutex<Came>>,
    changed: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// Listens at the address (port 0: any), answers with these first and takes everything after them.
    pub async fn start(address: &str, tls: Option<TlsAcceptor>, replies: &[Reply]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let came = Arc::new(Mutex::new(Came {
            replies: replies.iter().copied().collect(),
            ..Came::default()
        }));
        let changed = watch::Sender::new(());
        let (state, told) = (Arc::clone(&came), changed.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, tls.clone(), Arc::clone(&state), told.clone()));
            }
        });
        Self {
            address,
            came,
            changed,
            task,
        }
    }

    pub fn with<T>(&self, look: impl FnOnce(&Came) -> T) -> T {
        look(&self.came.lock().unwrap())
    }

    /// Waits until it is so.
    pub async fn until(&self, is_so: impl Fn(&Came) -> bool) {
        let mut changes = self.changed.subscribe();
        while !self.with(&is_so) {
            changes.changed().await.unwrap();
        }
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    came: Arc<Mutex<Came>>,
    changed: watch::Sender<()>,
) {
    let service = service_fn(|request| answer(request, Arc::clone(&came), changed.clone()));
    let builder = Builder::new(TokioExecutor::new());
    // A client that goes, or is not let in, is not the backend's matter.
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        }
        None => {
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

type Answer = Response<StreamBody<futures_of::Frames>>;

/// A body of a few frames.
mod futures_of {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use super::{Bytes, Frame, Infallible, VecDeque};

    pub struct Frames(pub VecDeque<Frame<Bytes>>);

    impl tokio_stream::Stream for Frames {
        type Item = Result<Frame<Bytes>, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    came: Arc<Mutex<Came>>,
    changed: watch::Sender<()>,
) -> Result<Answer, std::io::Error> {
    let (head, body) = request.into_parts();
    let is_grpc = head.headers["content-type"] == "application/grpc";
    let is_metrics = head.uri.path().contains("metrics") || head.uri.path().contains("Metrics");
    let mut body = body.collect().await.unwrap().to_bytes();
    let mut is_compressed = head.headers.get("content-encoding").is_some();
    if is_grpc {
        is_compressed = body[0] == 1;
        body = body.slice(5..);
    }
    if is_compressed {
        let mut request = Vec::new();
        GzDecoder::new(&*body).read_to_end(&mut request).unwrap();
        body = request.into();
    }
    let reply = {
        let mut came = came.lock().unwrap();
        came.requests += 1;
        came.headers.push(head.headers);
        let reply = came.replies.pop_front().unwrap_or(Reply::Take);
        if matches!(reply, Reply::Take | Reply::Partly(_) | Reply::TakeAndClose) {
            match is_metrics {
                true => came
                    .metrics
                    .push(ExportMetricsServiceRequest::decode(body).unwrap()),
                false => came
                    .uids
                    .extend(uids(&ExportLogsServiceRequest::decode(body).unwrap())),
            }
        }
        reply
    };
    changed.send_replace(());
    match reply {
        Reply::Take => Ok(taken(is_grpc, 0)),
        Reply::Partly(rejected) => Ok(taken(is_grpc, rejected)),
        Reply::Fail(code, status, after) => Ok(failed(is_grpc, code, status, after)),
        Reply::TakeAndClose => Err(std::io::Error::other("gone")),
        Reply::Hang => std::future::pending().await,
    }
}

fn uids(request: &ExportLogsServiceRequest) -> Vec<String> {
    let scopes = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    let uids = records.filter_map(|record| {
        let uid = record
            .attributes
            .iter()
            .find(|attribute| attribute.key == "log.record.uid")?;
        match uid.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(uid) => Some(uid.clone()),
            _ => None,
        }
    });
    uids.collect()
}

fn taken(is_grpc: bool, rejected: i64) -> Answer {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: rejected,
        error_message: "too old".into(),
    };
    let message = ExportLogsServiceResponse {
        partial_success: (rejected != 0).then_some(partial),
    };
    let message = message.encode_to_vec();
    let mut frames = VecDeque::new();
    if is_grpc {
        let mut framed = vec![0];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(&message);
        frames.push_back(Frame::data(framed.into()));
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        frames.push_back(Frame::trailers(trailers));
    } else {
        frames.push_back(Frame::data(message.into()));
    }
    let mut response = Response::new(StreamBody::new(futures_of::Frames(frames)));
    if is_grpc {
        let headers = response.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
    }
    response
}

fn failed(is_grpc: bool, code: Code, status: u16, after: Option<u64>) -> Answer {
    let mut response = Response::new(StreamBody::new(futures_of::Frames(VecDeque::new())));
    if is_grpc {
        let after = after.map(std::time::Duration::from_millis);
        let failure = match after {
            Some(_) => Status::with_error_details(code, "no", ErrorDetails::with_retry_info(after)),
            None => Status::new(code, "no"),
        };
        let headers = response.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        failure.add_header(headers).unwrap();
    } else {
        *response.status_mut() = status.try_into().unwrap();
        if let Some(after) = after {
            let seconds = (after / 1000).to_string().parse().unwrap();
            response.headers_mut().insert("retry-after", seconds);
        }
    }
    response
}
