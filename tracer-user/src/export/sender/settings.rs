//! `[otlp]`: where records go, and how.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de::Error as _};

/// `[otlp]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `http://collector:4317`; the paths of HTTP (`/v1/logs`) are put behind it.
    pub endpoint: String,
    #[serde(default)]
    pub protocol: Protocol,
    /// Sent with each request; values may be secret, and are never shown.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub compression: Compression,
    /// Of one request: `"10s"`.
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(default)]
    pub tls: Tls,
    #[serde(skip)]
    pub retry: Retry,
}

/// How records are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    #[serde(rename = "http/protobuf")]
    Http,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    Gzip,
    None,
}

/// Files in PEM form. With `https`, the system's certificates are trusted where no `ca` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    pub ca: Option<PathBuf>,
    /// The client's certificate, for backends that ask for one, and its key.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// How long it takes until a request is tried again: twice as long each time, and by chance up to half of that less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    pub first: Duration,
    pub most: Duration,
    /// What a backend may ask for at most.
    pub asked: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(60),
            asked: Duration::from_secs(3600),
        }
    }
}

impl Settings {
    /// Those of an endpoint, others as they are where nothing is given.
    pub fn new(endpoint: &str, protocol: Protocol) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            protocol,
            headers: BTreeMap::new(),
            compression: Compression::default(),
            timeout: default_timeout(),
            tls: Tls::default(),
            retry: Retry::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("compression", &self.compression)
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

/// A text like `10s` or `1m 30s`, longer than nothing.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    let parsed = text.parse::<SignedDuration>().ok();
    let duration = parsed.and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| D::Error::custom(format!("`{text}` is no time; write one like \"10s\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn only_an_endpoint_has_to_be_given() {
        let settings = read(r#"{"endpoint": "http://x:4317"}"#).unwrap();
        assert_eq!(settings, Settings::new("http://x:4317", Protocol::Grpc));
        assert!(read("{}").is_err());
        assert!(read(r#"{"endpoint": "http://x", "tiemout": "1s"}"#).is_err());
    }

    #[test]
    fn all_can_be_given_and_headers_are_not_shown() {
        let settings = read(
            r#"{"endpoint": "https://x", "protocol": "http/protobuf", "headers": {"api-key": "hush"},
                "compression": "none", "timeout": "500ms", "tls": {"ca": "/ca.pem", "cert": "/c", "key": "/k"}}"#,
        )
        .unwrap();
        assert_eq!(settings.protocol, Protocol::Http);
        assert_eq!(settings.compression, Compression::None);
        assert_eq!(settings.timeout, Duration::from_millis(500));
        assert_eq!(settings.tls.ca.as_deref(), Some("/ca.pem".as_ref()));
        let shown = format!("{settings:?}");
        assert!(shown.contains("api-key") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn a_timeout_is_a_time() {
        for timeout in ["10", "soon", "-1s", "0s"] {
            let error = read(&format!(r#"{{"endpoint": "http://x", "timeout": "{timeout}"}}"#)).unwrap_err();
            assert!(error.to_string().contains("write one like \"10s\""), "{error}");
        }
    }
}
