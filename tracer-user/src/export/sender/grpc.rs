//! OTLP over gRPC.

use hyper::Uri;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
};
use prost::Message as _;
use tonic::{
    Request,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Channel, Endpoint},
};

use super::{
    USER_AGENT,
    answer::{Answer, of_status, taken},
    error::Error,
    settings::{Compression, Settings},
    tls,
};
use crate::export::{batch::Signal, spool::MAX_REQUEST};

/// A connection, made when it is needed.
pub struct Grpc {
    logs: LogsServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    headers: MetadataMap,
}

impl Grpc {
    pub fn new(settings: &Settings, uri: &Uri) -> Result<Self, Error> {
        let bad = |error: tonic::transport::Error| Error::Endpoint {
            endpoint: settings.endpoint.clone(),
            why: super::answer::causes(&error),
        };
        let mut endpoint = Endpoint::from(uri.clone())
            .user_agent(USER_AGENT)
            .map_err(bad)?
            .connect_timeout(settings.timeout);
        if uri.scheme_str() == Some("https") {
            endpoint = endpoint.tls_config(tls::for_grpc(&settings.tls)?).map_err(bad)?;
        }
        let channel = endpoint.connect_lazy();
        let most = MAX_REQUEST as usize;
        let mut logs = LogsServiceClient::new(channel.clone()).max_encoding_message_size(most);
        let mut metrics = MetricsServiceClient::new(channel).max_encoding_message_size(most);
        if settings.compression == Compression::Gzip {
            logs = logs.send_compressed(CompressionEncoding::Gzip);
            metrics = metrics.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            logs: logs.accept_compressed(CompressionEncoding::Gzip),
            metrics: metrics.accept_compressed(CompressionEncoding::Gzip),
            headers: metadata(settings)?,
        })
    }

    /// Sends an encoded request.
    pub async fn send(&mut self, signal: Signal, body: &[u8]) -> Answer {
        let unreadable = |_| Answer::Never {
            why: "it is no request any more".to_owned(),
        };
        match signal {
            Signal::Logs => {
                let request = match ExportLogsServiceRequest::decode(body) {
                    Ok(request) => self.request(request),
                    Err(error) => return unreadable(error),
                };
                match self.logs.export(request).await {
                    Ok(response) => {
                        let partial = response.into_inner().partial_success;
                        taken(partial.map(|partial| (partial.rejected_log_records, partial.error_message)))
                    }
                    Err(status) => of_status(&status),
                }
            }
            Signal::Metrics => {
                let request = match ExportMetricsServiceRequest::decode(body) {
                    Ok(request) => self.request(request),
                    Err(error) => return unreadable(error),
                };
                match self.metrics.export(request).await {
                    Ok(response) => {
                        let partial = response.into_inner().partial_success;
                        taken(partial.map(|partial| (partial.rejected_data_points, partial.error_message)))
                    }
                    Err(status) => of_status(&status),
                }
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.headers.clone();
        request
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
