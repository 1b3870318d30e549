//! Log records become rows.
//!
//! Attributes: see `export::record`. Of records that an earlier `--format otlp` wrote, what a call acts on is in the JSON
//! text `pytrace.call`.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
};

use super::effect::{Effect, Loss};

/// The name of a call's record.
const CALL: &str = "pytrace.call";
/// `SEVERITY_NUMBER_WARN`: a call did not return.
const WARN: i32 = 13;

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
pub enum Row {
    Effect(Box<Effect>),
    Loss(Box<Loss>),
}

/// Gives the rows of a request. Records of others than this tool are left out.
pub fn rows(request: &ExportLogsServiceRequest, row: &mut dyn FnMut(Row)) {
    for of_resource in &request.resource_logs {
        let origin = Origin::of(of_resource.resource.as_ref());
        let records = of_resource.scope_logs.iter().flat_map(|scope| &scope.log_records);
        for record in records {
            let attributes = Attributes(&record.attributes);
            let event = match record.event_name.as_str() {
                "" => attributes.text("event.name").unwrap_or_default(),
                name => name.to_owned(),
            };
            if event == CALL {
                row(Row::Effect(Box::new(effect(record, &origin))));
            } else if let Some(loss) = loss(record, event, &origin) {
                row(Row::Loss(Box::new(loss)));
            }
        }
    }
}

/// What a resource says.
#[derive(Default)]
struct Origin {
    service: String,
    host: String,
    container: String,
    pid: u64,
    python: String,
}

impl Origin {
    fn of(resource: Option<&Resource>) -> Self {
        let attributes = Attributes(resource.map_or(&[], |resource| &resource.attributes));
        let text = |key| attributes.text(key).unwrap_or_default();
        Self {
            service: service(text("service.name"), &text("process.executable.path")),
            host: text("host.name"),
            container: text("container.id"),
            pid: attributes.number("process.pid").unwrap_or(0),
            python: text("process.runtime.version"),
        }
    }
}

/// The name of a service; as OpenTelemetry's SDKs have it, where nobody named it.
fn service(name: String, executable: &str) -> String {
    match (name.is_empty(), executable.rsplit('/').next()) {
        (false, _) => name,
        (true, None | Some("")) => "unknown_service".into(),
        (true, Some(executable)) => format!("unknown_service:{executable}"),
    }
}

/// Attributes by key.
#[derive(Clone, Copy)]
struct Attributes<'a>(&'a [KeyValue]);

impl<'a> Attributes<'a> {
    fn value(self, key: &str) -> Option<&'a Value> {
        let found = self.0.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    /// Numbers and truth values are texts too, as stores write them.
    fn text(self, key: &str) -> Option<String> {
        text_of(self.value(key)?)
    }

    fn number(self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::IntValue(number) => (*number).try_into().ok(),
            Value::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(value.to_string()),
        _ => None,
    }
}

fn effect(record: &LogRecord, origin: &Origin) -> Effect {
    let attributes = Attributes(&record.attributes);
    let text = |key| attributes.text(key).unwrap_or_default();
    let number = |key| attributes.number(key).unwrap_or(0);
    let call = text(CALL);
    let acted = ActedOn::of(attributes, &call);
    let error = match text("exception.type") {
        none if none.is_empty() => text("error.type"),
        error => error,
    };
    Effect {
        time_ns: record.time_unix_nano,
        service: origin.service.clone(),
        host: origin.host.clone(),
        container: origin.container.clone(),
        pid: attributes.number("process.pid").unwrap_or(origin.pid),
        tid: number("thread.id"),
        python: origin.python.clone(),
        id: number("pytrace.id"),
        parent: number("pytrace.parent"),
        function: text("pytrace.function"),
        effect: text("pytrace.effect"),
        outcome: outcome(record, attributes),
        error,
        message: text("exception.message"),
        file: text("code.file.path"),
        line: number("code.line.number"),
        caller: text("code.function.name"),
        path: acted.path,
        peer: acted.peer,
        sql: acted.sql,
        duration_ns: attributes.number("pytrace.duration_ns"),
        weight: attributes.number("pytrace.weight").unwrap_or(1),
        secret: secret(attributes, &call),
        trace_id: hexadecimal(&record.trace_id),
        span_id: hexadecimal(&record.span_id),
        body: body(record.body.as_ref()),
        uid: text("log.record.uid"),
    }
}

fn body(body: Option<&AnyValue>) -> String {
    let value = body.and_then(|body| body.value.as_ref());
    value.and_then(text_of).unwrap_or_default()
}

fn outcome(record: &LogRecord, attributes: Attributes<'_>) -> String {
    if let Some(outcome) = attributes.text("pytrace.outcome") {
        return outcome;
    }
    let outcome = match (attributes.value("pytrace.unobserved"), record.severity_number) {
        (Some(_), _) => "unobserved",
        (None, WARN..) => "raise",
        _ => "return",
    };
    outcome.into()
}

/// Where no attribute says it, the JSON of the values does: `{"masked":true}`, unless that is a keyword argument of
/// the name.
fn secret(attributes: Attributes<'_>, call: &str) -> bool {
    let masked = |text: &str| {
        text.replace("\"kwargs\":{\"masked\":true", "")
            .contains("{\"masked\":true")
    };
    matches!(attributes.value("pytrace.secret"), Some(Value::BoolValue(true)))
        || attributes.number("pytrace.secret") == Some(1)
        || masked(call)
        || attributes
            .text("pytrace.result")
            .is_some_and(|result| masked(&result))
}

/// What a call acts on.
#[derive(Default)]
struct ActedOn {
    path: String,
    peer: String,
    sql: String,
}

impl ActedOn {
    fn of(attributes: Attributes<'_>, call: &str) -> Self {
        let mut acted = Self {
            path: attributes.text("file.path").unwrap_or_default(),
            peer: peer(attributes, "network.peer")
                .or_else(|| attributes.text("pytrace.target.peer"))
                .or_else(|| peer(attributes, "server"))
                .unwrap_or_default(),
            sql: attributes.text("db.query.text").unwrap_or_default(),
        };
        if acted.path.is_empty()
            && acted.peer.is_empty()
            && acted.sql.is_empty()
            && call.contains("\"target\":")
        {
            acted.in_json(call);
        }
        acted
    }

    /// As earlier versions wrote it.
    fn in_json(&mut self, call: &str) {
        let Ok(call) = serde_json::from_str::<serde_json::Value>(call) else {
            return;
        };
        let part = |key| json_text(call.get("target")?.get(key)?);
        self.path = part("path").unwrap_or_default();
        self.peer = part("peer").unwrap_or_default();
        self.sql = part("sql").unwrap_or_default();
    }
}

/// `address:port` of two attributes, with brackets around an address that has colons.
fn peer(attributes: Attributes<'_>, prefix: &str) -> Option<String> {
    let address = attributes.text(&format!("{prefix}.address"))?;
    let port = attributes.number(&format!("{prefix}.port"));
    Some(match port {
        None => address,
        Some(port) if address.contains(':') => format!("[{address}]:{port}"),
        Some(port) => format!("{address}:{port}"),
    })
}

/// The text that a VALUE is, with `…` where it was cut.
fn json_text(value: &serde_json::Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let text = value.get("str")?.as_str()?;
    let cut = if value.get("len").is_some() { "…" } else { "" };
    Some(format!("{text}{cut}"))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record that says that something was not seen.
fn loss(record: &LogRecord, event: String, origin: &Origin) -> Option<Loss> {
    let attributes = Attributes(&record.attributes);
    let number = |key| attributes.number(key).unwrap_or(0);
    let (lost, unseen_ns) = (number("pytrace.lost"), number("pytrace.unseen_ns"));
    if (lost, unseen_ns) == (0, 0) || !event.starts_with("pytrace.") {
        return None;
    }
    Some(Loss {
        time_ns: record.time_unix_nano,
        service: origin.service.clone(),
        host: origin.host.clone(),
        container: origin.container.clone(),
        pid: attributes.number("process.pid").unwrap_or(origin.pid),
        event,
        function: attributes.text("pytrace.function").unwrap_or_default(),
        lost,
        unseen_ns,
        uid: attributes.text("log.record.uid").unwrap_or_default(),
    })
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
