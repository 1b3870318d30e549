//! OTLP/JSON, one `LogsData` message a line: what `--format otlp` prints and what the Collector's file exporter writes.

use std::io::{BufRead, Read as _};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;

use super::QueryError;

/// Bytes of a line at most. The Collector writes a whole batch as one.
const MAX_LINE: u64 = 64 << 20;

/// The messages of a file, in order. Empty lines are none.
pub struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
        }
    }

    fn read(&mut self) -> Result<Option<ExportLogsServiceRequest>, QueryError> {
        loop {
            self.line.clear();
            self.number += 1;
            let mut source = (&mut self.source).take(MAX_LINE + 1);
            if source.read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            if self.line.len() as u64 > MAX_LINE {
                return Err(self.bad(format!("it has more than {MAX_LINE} bytes")));
            }
            if !self.line.trim_ascii().is_empty() {
                return message(&self.line).map(Some).map_err(|why| self.bad(why));
            }
        }
    }

    fn bad(&self, why: String) -> QueryError {
        QueryError::Line {
            line: self.number,
            why,
        }
    }
}

/// A request has the same fields as `LogsData`.
fn message(line: &[u8]) -> Result<ExportLogsServiceRequest, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<ExportLogsServiceRequest, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_and_a_bad_one_is_named() {
        let text = "\n{\"resourceLogs\":[{\"scopeLogs\":[]}]}\n{\"resourceLogs\":[]}\n[1]\n";
        let mut lines = Lines::new(text.as_bytes());
        assert_eq!(lines.next().unwrap().unwrap().resource_logs.len(), 1);
        assert!(lines.next().unwrap().unwrap().resource_logs.is_empty());
        let error = lines.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("line 4: not OTLP/JSON"), "{error}");
    }
}
