//! What a backend's answer means (OTLP specification 1.5, "Failures" of OTLP/gRPC and OTLP/HTTP).

use std::{error::Error as _, time::Duration};

use bytes::Buf;
use hyper::StatusCode;
use jiff::{Timestamp, fmt::rfc2822};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
};
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{export::batch::Signal, sink::escape::plainly};

/// Characters of a backend's message that are kept.
const SHOWN: usize = 200;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The backend has it, but for so many records, with what it says to that.
    Taken { rejected: u64, message: Option<String> },
    /// It may take it later: after that time, if it says so.
    Later { why: String, after: Option<Duration> },
    /// It will never take it.
    Never { why: String },
}

/// A text of the backend's, for people.
pub fn shown(text: &str) -> String {
    plainly(&text.chars().take(SHOWN).collect::<String>()).into_owned()
}

/// How many records were not taken, and why; of an answer to a request.
pub fn partial(signal: Signal, answer: impl Buf) -> Option<(i64, String)> {
    match signal {
        Signal::Logs => {
            let partial = ExportLogsServiceResponse::decode(answer).ok()?.partial_success?;
            Some((partial.rejected_log_records, partial.error_message))
        }
        Signal::Metrics => {
            let partial = ExportMetricsServiceResponse::decode(answer)
                .ok()?
                .partial_success?;
            Some((partial.rejected_data_points, partial.error_message))
        }
    }
}

/// Of a partial success.
pub fn taken(partial: Option<(i64, String)>) -> Answer {
    let (rejected, message) = partial.unwrap_or_default();
    Answer::Taken {
        rejected: u64::try_from(rejected).unwrap_or_default(),
        message: (!message.is_empty()).then(|| shown(&message)),
    }
}

/// Of a failed call.
pub fn of_status(status: &Status) -> Answer {
    let mut why = format!("{:?}: {}", status.code(), shown(status.message()));
    // It never came to the backend, or its answer did not come back.
    let source = status.source();
    if let Some(source) = source {
        why = causes(source);
    }
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let may_come = match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::ResourceExhausted => after.is_some(),
        _ => source.is_some(),
    };
    match may_come {
        true => Answer::Later { why, after },
        false => Answer::Never { why },
    }
}

/// An error with what caused it.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut all = shown(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = shown(&error.to_string());
        if !all.ends_with(&text) {
            all = format!("{all}: {text}");
        }
        cause = error.source();
    }
    all
}

/// Of an HTTP status that is no success; `retry_after`: that header.
pub fn of_http(status: StatusCode, retry_after: Option<&str>, now: Timestamp) -> Answer {
    let why = format!("HTTP {status}");
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Later {
            why,
            after: retry_after.and_then(|text| delay(text, now)),
        },
        400..600 => Answer::Never { why },
        // Not an answer to a request like this: somebody else answers there.
        _ => Answer::Later { why, after: None },
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn delay(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Duration::try_from(date.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn is_later(answer: &Answer) -> bool {
        matches!(answer, Answer::Later { .. })
    }

    #[test]
    fn only_some_failures_are_tried_again() {
        let later: Vec<i32> = (0..17)
            .filter(|code| is_later(&of_status(&Status::new(Code::from(*code), "x"))))
            .collect();
        // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
        assert_eq!(later, [1, 4, 10, 11, 14, 15]);
        let later: Vec<u16> = (100..1000)
            .filter(|code| {
                let status = StatusCode::from_u16(*code).unwrap();
                is_later(&of_http(status, None, Timestamp::UNIX_EPOCH)) && *code >= 400 && *code < 600
            })
            .collect();
        assert_eq!(later, [429, 502, 503, 504]);
    }

    #[test]
    fn a_backend_says_how_long_to_wait() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        use tonic_types::StatusExt as _;
        let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
        let expected = Answer::Later {
            why: "ResourceExhausted: full".into(),
            after: Some(Duration::from_millis(1500)),
        };
        assert_eq!(of_status(&status), expected);
        let now: Timestamp = "1999-12-31T23:59:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(59)),
            ("Fri, 31 Dec 1999 23:58:00 GMT", None),
            ("soon", None),
        ] {
            let answer = of_http(StatusCode::TOO_MANY_REQUESTS, Some(text), now);
            let expected = Answer::Later {
                why: "HTTP 429 Too Many Requests".into(),
                after: seconds.map(Duration::from_secs),
            };
            assert_eq!(answer, expected, "{text}");
        }
    }

    #[test]
    fn a_partial_success_says_what_was_rejected() {
        let rejected = |partial| taken(partial);
        assert_eq!(
            rejected(Some((3, "too\u{1b} old".into()))),
            Answer::Taken {
                rejected: 3,
                message: Some("too\\u{1b} old".into())
            }
        );
        let all = Answer::Taken {
            rejected: 0,
            message: None,
        };
        assert_eq!(rejected(Some((-1, String::new()))), all);
        assert_eq!(rejected(None), all);
    }
}
