//! OTLP over gRPC.
//!
//! Requests are encoded already, so they go as bytes: to decode them only to encode them again took more than all the rest.

use bytes::{Buf as _, BufMut as _, Bytes};
use hyper::{Uri, http::uri::PathAndQuery};
use tonic::{
    Request, Status,
    client::Grpc as Client,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    USER_AGENT,
    answer::{Answer, causes, of_status, partial, taken},
    error::Error,
    settings::{Compression, Settings},
    tls,
};
use crate::export::{batch::Signal, spool::MAX_REQUEST};

/// Of opentelemetry-proto, `collector/logs/v1/logs_service.proto` and `collector/metrics/v1/metrics_service.proto`.
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A connection, made when it is needed.
pub struct Grpc {
    client: Client<Channel>,
    headers: MetadataMap,
}

impl Grpc {
    pub fn new(settings: &Settings, uri: &Uri) -> Result<Self, Error> {
        let bad = |error: tonic::transport::Error| Error::Endpoint {
            endpoint: settings.endpoint.clone(),
            why: causes(&error),
        };
        let mut endpoint = Endpoint::from(uri.clone())
            .user_agent(USER_AGENT)
            .map_err(bad)?
            .connect_timeout(settings.timeout);
        if uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls::for_grpc(&settings.tls)?).map_err(bad)?;
        }
        let mut client = Client::new(endpoint.connect_lazy()).max_encoding_message_size(MAX_REQUEST as usize);
        if settings.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            client: client.accept_compressed(CompressionEncoding::Gzip),
            headers: metadata(settings)?,
        })
    }

    /// Sends an encoded request.
    pub async fn send(&mut self, signal: Signal, body: Vec<u8>) -> Answer {
        match self.call(signal, body).await {
            Ok(answer) => taken(partial(signal, answer)),
            Err(status) => of_status(&status),
        }
    }

    async fn call(&mut self, signal: Signal, body: Vec<u8>) -> Result<Bytes, Status> {
        // It is a transport error, which has its own causes.
        let not_ready = |error: tonic::transport::Error| Status::from_error(error.into());
        self.client.ready().await.map_err(not_ready)?;
        let mut request = Request::new(body);
        *request.metadata_mut() = self.headers.clone();
        let path = PathAndQuery::from_static(match signal {
            Signal::Logs => LOGS,
            Signal::Metrics => METRICS,
        });
        Ok(self.client.unary(request, path, Encoded).await?.into_inner())
    }
}

/// Messages that are bytes here.
#[derive(Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Vec<u8>;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Encoded {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let len = from.remaining();
        Ok(Some(from.copy_to_bytes(len)))
    }
}

fn metadata(settings: &Settings) -> Result<MetadataMap, Error> {
    let mut metadata = MetadataMap::new();
    for (name, value) in &settings.headers {
        let bad = || Error::Header(name.clone());
        let key: MetadataKey<Ascii> = name.to_ascii_lowercase().parse().map_err(|_| bad())?;
        let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}
