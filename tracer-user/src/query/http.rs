//! One request to a server, over HTTP or HTTPS.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::QueryError;

/// Until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Until the answer is there as a whole.
const ANSWER: Duration = Duration::from_secs(600);
/// Bytes of an answer at most.
const MAX_BODY: usize = 256 << 20;

/// Where requests go.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: tokio::runtime::Runtime,
    authorization: Option<HeaderValue>,
}

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub is_success: bool,
    pub body: Vec<u8>,
}

impl Http {
    /// `authorization`: the header of that name. Servers are trusted as the system does it.
    ///
    /// # Errors
    ///
    /// No certificates of authorities, no threads.
    pub fn new(authorization: Option<HeaderValue>) -> Result<Self, QueryError> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.enforce_http(false);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_native_roots()?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime,
            authorization,
        })
    }

    /// Sends a text and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, one that is too large.
    pub fn post(&self, uri: &Uri, body: String) -> Result<Response, QueryError> {
        let at = uri.authority().map(ToString::to_string).unwrap_or_default();
        let failed = |why: String| QueryError::Server(format!("{at} does not answer: {why}"));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(USER_AGENT, concat!("pytrace-ebpf/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "text/plain; charset=UTF-8");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| failed(error.to_string()))?;
        let asked = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| chain(&error))?;
            let is_success = response.status().is_success();
            let body = Limited::new(response.into_body(), MAX_BODY).collect();
            let body = body.await.map_err(|error| chain(error.as_ref()))?;
            Ok(Response {
                is_success,
                body: body.to_bytes().into(),
            })
        };
        self.runtime.block_on(async {
            match tokio::time::timeout(ANSWER, asked).await {
                Ok(answer) => answer.map_err(failed),
                Err(_) => Err(failed(format!("{} s have passed", ANSWER.as_secs()))),
            }
        })
    }
}

/// An error with its causes: the outermost says little.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}
