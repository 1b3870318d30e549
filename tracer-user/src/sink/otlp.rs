//! OpenTelemetry log records as OTLP/JSON, one `LogsData` message a line, as its File Exporter writes them. What is in
//! them: [`crate::export::record`].

use std::{
    collections::HashMap,
    io::{self, Write},
};

use opentelemetry_proto::tonic::{
    logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use serde::Serialize as _;
use serde_json::ser::Formatter;

use super::{Began, Period, ProcessChange, Sink, Summary};
use crate::{
    event::{
        call::{CallEvent, TypeNames},
        sum::Sum,
    },
    export::{
        batch::scope,
        record::{Records, Values},
        redact::Redaction,
        resource,
    },
};

/// The OTLP format.
#[derive(Debug)]
pub struct Otlp {
    records: Records,
    /// The `resource` of each traced process.
    resources: HashMap<u32, Resource>,
}

impl Default for Otlp {
    fn default() -> Self {
        Self {
            records: Records::new(Values::Full, Redaction::default()),
            resources: HashMap::new(),
        }
    }
}

impl Otlp {
    /// Appends a line with one record.
    fn line(&self, pid: Option<u32>, record: LogRecord, out: &mut Vec<u8>) {
        let resource = pid.and_then(|pid| self.resources.get(&pid));
        let data = LogsData {
            resource_logs: vec![ResourceLogs {
                resource: Some(resource.cloned().unwrap_or_default()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(scope()),
                    log_records: vec![record],
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        };
        let mut json = serde_json::Serializer::with_formatter(&mut *out, Plain);
        // Texts and numbers are written to memory, which cannot fail.
        let _ = data.serialize(&mut json);
        out.push(b'\n');
    }
}

impl Sink for Otlp {
    fn header(&mut self, began: &Began<'_>, _: &mut Vec<u8>) {
        for target in began.targets {
            self.resources.insert(target.pid, resource::of_target(target));
        }
    }

    fn call(&mut self, call: &CallEvent<'_>, names: &mut TypeNames<'_>, out: &mut Vec<u8>) {
        let record = self.records.call(call, names);
        self.line(Some(call.pid), record, out);
    }

    fn process(&mut self, pid: u32, change: &ProcessChange, time_ns: u64, out: &mut Vec<u8>) {
        let record = self.records.process(pid, change, time_ns);
        self.line(Some(pid), record, out);
    }

    fn loss(&mut self, count: u64, since_ns: u64, out: &mut Vec<u8>) {
        self.line(None, self.records.loss(count, since_ns), out);
    }

    fn sums(&mut self, sums: &[Sum], period: Period, out: &mut Vec<u8>) {
        for sum in sums {
            self.line(sum.pid, self.records.sum(sum, period), out);
        }
    }

    fn summary(&mut self, summary: &Summary, out: &mut Vec<u8>) {
        self.line(None, self.records.summary(summary), out);
    }
}

/// JSON in one line, in which no control character is raw: those beyond ASCII too, which a terminal obeys.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, to: &mut W, fragment: &str) -> io::Result<()> {
        let is_control = |c: char| ('\u{7f}'..'\u{a0}').contains(&c);
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_control(*c)) {
            to.write_all(&rest.as_bytes()[..at])?;
            write!(to, "\\u{:04x}", u32::from(c))?;
            rest = &rest[at + c.len_utf8()..];
        }
        to.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::sink::TargetInfo;

    #[test]
    fn a_line_is_a_message_without_raw_control_characters() {
        let mut otlp = Otlp::default();
        let target = TargetInfo {
            pid: 7,
            python: "3.12.1".into(),
            executable: "/bin/python\u{9b}".into(),
            functions: 1,
            unseen: None,
            budget: None,
        };
        let mut out = Vec::new();
        let began = Began {
            targets: &[target],
            sample: None,
        };
        otlp.header(&began, &mut out);
        let exec = ProcessChange::Exec {
            executable: "/\u{1b}[31m\u{7f}\u{85}\"é".into(),
            parent: None,
        };
        otlp.process(7, &exec, 5, &mut out);
        otlp.summary(&Summary::default(), &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let [exec, summary] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        let of = |line: &Value| line["resourceLogs"][0].clone();
        assert_eq!(
            of(exec)["resource"]["attributes"][1],
            json!({"key": "process.executable.path", "value": {"stringValue": "/bin/python\u{9b}"}})
        );
        let scope = &of(exec)["scopeLogs"][0];
        assert_eq!(scope["scope"]["name"], "pytrace-ebpf");
        let record = &scope["logRecords"][0];
        assert_eq!(record["timeUnixNano"], "5");
        assert_eq!(record["eventName"], "pytrace.process.exec");
        assert_eq!(
            record["attributes"][2],
            json!({"key": "process.executable.path", "value": {"stringValue": "/\u{1b}[31m\u{7f}\u{85}\"é"}})
        );
        assert_eq!(
            of(summary)["scopeLogs"][0]["logRecords"][0]["eventName"],
            "pytrace.summary"
        );
    }

    #[test]
    fn sums_are_lines_too() {
        let sum = Sum {
            pid: None,
            function: "a.f".into(),
            effect: "file.open",
            place: None,
            calls: tracer_common::aggregate::Aggregate::default(),
        };
        let period = Period {
            from_ns: 1,
            to_ns: 2,
            is_whole: true,
        };
        let mut out = Vec::new();
        Otlp::default().sums(&[sum.clone(), sum], period, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap().matches("\"pytrace.sum\"").count(),
            4
        );
    }
}
