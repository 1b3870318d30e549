//! OTLP over HTTP, as protobuf.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Uri,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::Timestamp;

use super::{
    USER_AGENT,
    answer::{Answer, causes, of_http, partial, taken},
    error::Error,
    settings::{Compression, Settings},
    tls,
};
use crate::export::{batch::Signal, spool::Body};

/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

/// Connections, made when they are needed.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    logs: Uri,
    metrics: Uri,
    headers: HeaderMap,
    is_compressed: bool,
}

impl Http {
    pub fn new(settings: &Settings, uri: &Uri) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(settings.timeout));
        let builder = HttpsConnectorBuilder::new();
        let connector = match uri.scheme_str() {
            Some("https") => builder
                .with_tls_config(tls::for_http(&settings.tls)?)
                .https_only()
                .enable_http1()
                .wrap_connector(connector),
            // Nobody's certificate is looked at.
            _ => builder
                .with_tls_config(tls::for_nobody()?)
                .https_or_http()
                .enable_http1()
                .wrap_connector(connector),
        };
        let of = |path: &str| {
            let base = settings.endpoint.trim_end_matches('/');
            format!("{base}/{path}").parse().map_err(|error| Error::Endpoint {
                endpoint: settings.endpoint.clone(),
                why: format!("{error}"),
            })
        };
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            logs: of("v1/logs")?,
            metrics: of("v1/metrics")?,
            headers: headers(settings)?,
            is_compressed: settings.compression == Compression::Gzip,
        })
    }

    /// Sends a request as it is in the spool, or decompressed.
    pub async fn send(&self, signal: Signal, body: Body) -> Answer {
        let bytes = match self.is_compressed {
            true => body.bytes,
            false => match body.request() {
                Some(request) => request,
                None => {
                    return Answer::Never {
                        why: "it cannot be decompressed any more".to_owned(),
                    };
                }
            },
        };
        let uri = match signal {
            Signal::Logs => &self.logs,
            Signal::Metrics => &self.metrics,
        };
        let mut request = Request::new(Full::new(Bytes::from(bytes)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return later(&error),
        };
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let after = head.headers.get(header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok());
            return of_http(head.status, after, Timestamp::now());
        }
        // It has the request, whatever is wrong with the answer.
        let answer = Limited::new(body, MAX_ANSWER).collect().await;
        taken(answer.ok().and_then(|answer| partial(signal, answer.to_bytes())))
    }
}

/// It never came to the backend, or its answer did not come back.
fn later(error: &(dyn std::error::Error + 'static)) -> Answer {
    Answer::Later {
        why: causes(error),
        after: None,
    }
}

fn headers(settings: &Settings) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-protobuf"),
    );
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if settings.compression == Compression::Gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in &settings.headers {
        let bad = || Error::Header(name.clone());
        let key: HeaderName = name.parse().map_err(|_| bad())?;
        let mut value: HeaderValue = value.parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
