use super::*;
use crate::query::lines::Lines;

/// The rows of lines.
fn read(text: &str) -> Vec<Row> {
    let mut found = Vec::new();
    for request in Lines::new(text.as_bytes()) {
        rows(&request.unwrap(), &mut |row| found.push(row));
    }
    found
}

fn only(text: &str) -> Effect {
    match read(text).pop() {
        Some(Row::Effect(effect)) => *effect,
        other => panic!("{other:?}"),
    }
}

/// A record with these attributes, as a line.
fn record(attributes: &str) -> String {
    format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"eventName":"pytrace.call","severityNumber":9,"attributes":[{attributes}]}}]}}]}}]}}"#
    )
}

fn text(key: &str, value: &str) -> String {
    serde_json::json!({"key": key, "value": {"stringValue": value}}).to_string()
}

#[test]
fn a_record_is_a_row() {
    let fleet = read(include_str!("testdata/fleet.otlp.jsonl"));
    let Row::Effect(effect) = &fleet[3] else {
        panic!("{:?}", fleet[3])
    };
    assert_eq!(
        **effect,
        Effect {
            time_ns: 1_767_225_604_000_000_000,
            service: "shop".into(),
            host: "a".into(),
            container: "c1".into(),
            pid: 100,
            tid: 101,
            python: "3.12.1".into(),
            id: 4,
            parent: 3,
            function: "sqlite3.Connection.execute".into(),
            effect: "db.execute".into(),
            outcome: "raise".into(),
            error: "sqlite3.OperationalError".into(),
            message: "it's \\ locked\n\x1b[31m".into(),
            file: "/srv/shop.py".into(),
            line: 21,
            caller: "Shop.order".into(),
            path: String::new(),
            peer: String::new(),
            sql: "SELECT 'x' -- ?".into(),
            duration_ns: Some(7000),
            weight: 1,
            secret: false,
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            span_id: "b7ad6b7169203331".into(),
            body: "Connection.execute(\"SELECT 'x' -- ?\") raised OperationalError".into(),
            uid: "a-4".into(),
        }
    );
    let losses: Vec<&Loss> = fleet
        .iter()
        .filter_map(|row| match row {
            Row::Loss(loss) => Some(&**loss),
            Row::Effect(_) => None,
        })
        .collect();
    let told: Vec<(&str, u64, u64)> = losses
        .iter()
        .map(|loss| (loss.event.as_str(), loss.lost, loss.unseen_ns))
        .collect();
    assert_eq!(
        told,
        [
            ("pytrace.loss", 7, 0),
            ("pytrace.process.window", 0, 1_700_000_000),
            ("pytrace.summary", 7, 0)
        ]
    );
    assert_eq!(
        fleet.len(),
        8 + 7 + 1 + 2 + 3,
        "the log line of a program is none"
    );
}

#[test]
fn peers_are_written_as_the_tool_writes_them() {
    let peer = |prefix: &str, address: &str, port: Option<u16>| {
        let mut attributes = text(&format!("{prefix}.address"), address);
        if let Some(port) = port {
            attributes += &format!(r#",{{"key":"{prefix}.port","value":{{"intValue":"{port}"}}}}"#);
        }
        only(&record(&attributes)).peer
    };
    assert_eq!(peer("network.peer", "127.0.0.1", Some(80)), "127.0.0.1:80");
    assert_eq!(peer("network.peer", "::1", Some(80)), "[::1]:80");
    assert_eq!(peer("network.peer", "/run/x.sock", None), "/run/x.sock");
    assert_eq!(peer("server", "db", Some(5432)), "db:5432");
}

#[test]
fn what_earlier_versions_wrote_is_read_too() {
    let of = |call: &str| only(&record(&text("pytrace.call", call)));
    assert_eq!(of(r#"{"args":["/x"],"target":{"fd":3,"path":"/x"}}"#).path, "/x");
    assert_eq!(of(r#"{"target":{"path":{"str":"/lo","len":900}}}"#).path, "/lo…");
    let both = of(r#"{"target":{"peer":"127.0.0.1:1","sql":"SELECT 1"}}"#);
    assert_eq!(
        (both.peer.as_str(), both.sql.as_str()),
        ("127.0.0.1:1", "SELECT 1")
    );
    assert_eq!(of(r#"{"target":{"path":{"bytes":"eA=="}}}"#).path, "");
    assert_eq!(of(r#"{"target": broken"#).path, "");
    assert_eq!(of("{}").outcome, "return");
    let raised = record("").replace("\"severityNumber\":9", "\"severityNumber\":13");
    assert_eq!(only(&raised).outcome, "raise");
    assert_eq!(
        only(&record(&text("pytrace.unobserved", "it ended"))).outcome,
        "unobserved"
    );
}

#[test]
fn masked_values_are_secrets() {
    let secret = |attributes: &str| only(&record(attributes)).secret;
    assert!(secret(r#"{"key":"pytrace.secret","value":{"boolValue":true}}"#));
    assert!(secret(r#"{"key":"pytrace.secret","value":{"intValue":"1"}}"#));
    assert!(secret(&text(
        "pytrace.call",
        r#"{"kwargs":{"key":{"masked":true}}}"#
    )));
    assert!(secret(&text(
        "pytrace.result",
        r#"{"masked":true,"str":"a=***"}"#
    )));
    // A keyword argument of that name.
    assert!(!secret(&text(
        "pytrace.call",
        r#"{"args":[],"kwargs":{"masked":true}}"#
    )));
    // A text.
    assert!(!secret(&text(
        "pytrace.call",
        r#"{"args":["{\"masked\":true}"]}"#
    )));
}

#[test]
fn a_service_without_a_name_has_its_executables() {
    assert_eq!(
        service(String::new(), "/usr/bin/python3"),
        "unknown_service:python3"
    );
    assert_eq!(service(String::new(), ""), "unknown_service");
    assert_eq!(service("shop".into(), "/usr/bin/python3"), "shop");
}

#[test]
fn values_of_all_kinds_are_texts() {
    assert_eq!(text_of(&Value::DoubleValue(0.5)).as_deref(), Some("0.5"));
    assert_eq!(text_of(&Value::BoolValue(true)).as_deref(), Some("true"));
    assert_eq!(text_of(&Value::IntValue(-3)).as_deref(), Some("-3"));
    assert_eq!(text_of(&Value::BytesValue(vec![1])), None);
    let pid = record(&text("process.pid", "12"));
    assert_eq!(only(&pid).pid, 12, "as a text too");
}
