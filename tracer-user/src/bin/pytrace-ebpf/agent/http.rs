//! `/healthz` and `/metrics`, and nothing else; on this machine only, unless the configuration says otherwise.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::timeout};

/// Connections at once at most, and how long one may take.
const MAX_CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);

/// What is answered.
#[derive(Default)]
pub struct Answers {
    pub metrics: String,
    /// What is wrong, if anything.
    pub unwell: Option<String>,
}

/// Shared with who knows.
pub type SharedAnswers = Arc<Mutex<Answers>>;

/// Answers until this is dropped.
pub struct Server(JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Server {
    pub async fn start(address: SocketAddr, answers: SharedAnswers) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self(tokio::spawn(serve(listener, answers))))
    }
}

async fn serve(listener: TcpListener, answers: SharedAnswers) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of descriptors, or who called has gone.
            Err(error) => {
                log::info!("a connection could not be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &answers);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).keep_alive(false);
            let connection = http.serve_connection(TokioIo::new(stream), service);
            // Who is too slow is not answered.
            let _ = timeout(PATIENCE, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, answers: &SharedAnswers) -> Response<Full<Bytes>> {
    let of = |status, content: &'static str, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let content = hyper::header::HeaderValue::from_static(content);
        response.headers_mut().insert(CONTENT_TYPE, content);
        response
    };
    const PLAIN: &str = "text/plain; charset=utf-8";
    if request.method() != Method::GET {
        return of(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned());
    }
    let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    match request.uri().path() {
        "/metrics" => of(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            answers.metrics.clone(),
        ),
        "/healthz" => match &answers.unwell {
            None => of(StatusCode::OK, PLAIN, "ok\n".to_owned()),
            Some(why) => of(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{why}\n")),
        },
        _ => of(StatusCode::NOT_FOUND, PLAIN, "/healthz or /metrics\n".to_owned()),
    }
}

/// Asks the agent at that address whether it is well.
pub fn ask(address: SocketAddr) -> anyhow::Result<()> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => anyhow::bail!("the agent is not well: {}", body.trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_answered() {
        let answers = SharedAnswers::default();
        let shared = Arc::clone(&answers);
        let (send, bound) = std::sync::mpsc::channel();
        // Ends with the test's process.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                serve(listener, shared).await;
            });
        });
        let address = bound.recv().unwrap();
        ask(address).unwrap();
        answers.lock().unwrap().unwell = Some("the tracer has ended".into());
        let error = ask(address).unwrap_err().to_string();
        assert!(error.contains("the tracer has ended"), "{error}");
    }
}
