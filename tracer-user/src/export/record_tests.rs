use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use tracer_common::{
    aggregate::Aggregate,
    cookie::{Convention, SelfKind},
    wire::TypeRef,
};

use super::*;
use crate::{
    catalogue::effects::{From, TargetPart},
    decode::{
        attribution::{Attribution, Span, Task},
        linetable::LineFormat,
        names::{Code, NoNames},
        value::{Arguments, BytesKind, SequenceKind, Value},
    },
    event::{
        SiteMeta,
        handle::{NamedHandle, Peer},
        plain_site,
    },
    export::redact::Settings,
};

const fn part(key: &'static str, position: usize) -> TargetPart {
    TargetPart {
        key,
        from: From::Argument { position, name: "" },
    }
}

const QUERY: &[TargetPart] = &[part("sql", 0), part("path", 1)];
const PEER: &[TargetPart] = &[part("peer", 0)];
const PATH: &[TargetPart] = &[part("path", 0)];

fn site(function: &str, effect: &'static str, target: &'static [TargetPart]) -> SiteMeta {
    SiteMeta {
        convention: Convention::FastCall,
        self_kind: SelfKind::Module,
        target,
        ..plain_site(function, effect)
    }
}

fn text(text: &'static str) -> Value<'static> {
    Value::Bytes(BytesKind::Bytes, text.as_bytes(), text.len() as u64)
}

fn frame(function: &str, file: &str, line: u32) -> Frame {
    let code = Code {
        function: function.into(),
        file: file.into(),
        first_line: 1,
        linetable: Vec::new(),
        line_format: LineFormat::Signed,
    };
    Frame {
        code: Some(code.into()),
        line: Some(line),
    }
}

fn call<'a>(meta: &'a SiteMeta, args: Vec<Value<'a>>, outcome: Outcome<'a>) -> CallEvent<'a> {
    CallEvent {
        id: 17,
        parent: Some(16),
        target: 0,
        pid: 7,
        tid: 8,
        time_ns: 1_700_000_000_000_000_001,
        duration_ns: Some(41),
        meta,
        function: &meta.function,
        module_len: meta.module_len,
        effect: meta.effect,
        arguments: Arguments {
            args_len: args.len() as u64,
            args,
            ..Arguments::default()
        },
        outcome,
        stack: vec![frame("save", "/srv/app.py", 88), frame("main", "/srv/a\n.py", 9)],
        handle: None,
        weight: 1,
        late: false,
        run: None,
    }
}

fn record(records: &Records, call: &CallEvent<'_>) -> LogRecord {
    let mut names = TypeNames {
        names: &mut NoNames,
        target: 0,
    };
    records.call(call, &mut names)
}

fn redacting(values: Values, patterns: &[&str], paths: &[&str]) -> Records {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let settings = Settings {
        patterns: strings(patterns),
        paths: strings(paths),
        ..Settings::default()
    };
    Records::new(values, Redaction::new(&settings).unwrap())
}

fn full() -> Records {
    Records::new(Values::Full, Redaction::default())
}

fn none() -> Records {
    Records::new(Values::None, Redaction::default())
}

fn shown(value: Option<&Any>) -> String {
    match value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => format!("#{number}"),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

/// The attributes behind the function's name and place, `name=value`.
fn about_target(record: &LogRecord) -> Vec<String> {
    let attributes = record.attributes.iter().filter(|attribute| {
        ["event.name", "process.pid", "thread.id"]
            .iter()
            .all(|other| attribute.key != *other)
            && !attribute.key.starts_with("code.")
            && ![
                "pytrace.function",
                "pytrace.effect",
                "pytrace.id",
                "pytrace.parent",
            ]
            .contains(&&*attribute.key)
    });
    let attributes = attributes.map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        format!("{}={}", attribute.key, shown(value))
    });
    attributes.collect()
}

fn get(record: &LogRecord, key: &str) -> Option<String> {
    let found = record.attributes.iter().find(|attribute| attribute.key == key)?;
    Some(shown(found.value.as_ref()?.value.as_ref()))
}

fn body(record: &LogRecord) -> String {
    shown(record.body.as_ref().and_then(|body| body.value.as_ref()))
}

#[test]
fn a_call_says_who_where_and_what() {
    let meta = site("posix.unlink", "file.delete", PATH);
    let mut event = call(&meta, vec![text("/tmp/x")], Outcome::Returned(Value::None));
    event.arguments.attribution.span = Some(Span {
        trace_id: 1,
        span_id: 0x0203,
    });
    let record = record(&full(), &event);
    assert_eq!(record.event_name, "pytrace.call");
    assert_eq!(
        (record.time_unix_nano, record.severity_number),
        (event.time_ns, 9)
    );
    assert_eq!(record.trace_id, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(record.span_id, [0, 0, 0, 0, 0, 0, 2, 3]);
    assert_eq!(body(&record), "posix.unlink(b'/tmp/x') = None");
    for (key, value) in [
        ("event.name", "pytrace.call"),
        ("process.pid", "#7"),
        ("thread.id", "#8"),
        ("code.function.name", "save"),
        ("code.file.path", "/srv/app.py"),
        ("code.line.number", "#88"),
        (
            "code.stacktrace",
            "  File \"/srv/a\\u{a}.py\", line 9, in main\n  File \"/srv/app.py\", line 88, in save",
        ),
        ("pytrace.function", "posix.unlink"),
        ("pytrace.effect", "file.delete"),
        ("pytrace.id", "#17"),
        ("pytrace.parent", "#16"),
    ] {
        assert_eq!(get(&record, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(
        about_target(&record),
        [
            "pytrace.duration_ns=#41",
            "file.path=/tmp/x",
            r#"pytrace.call={"args":[{"bytes":"L3RtcC94"}],"kwargs":{},"target":{"path":{"bytes":"L3RtcC94"}}}"#,
            "pytrace.outcome=return",
            "pytrace.result=null",
        ]
    );
}

fn raised(args: Vec<Value<'static>>) -> Outcome<'static> {
    Outcome::Raised(Raised {
        ty: Some(TypeRef::default()),
        id: Some(1),
        args: ExceptionArgs::Items(args.clone(), args.len() as u64),
    })
}

#[test]
fn an_exception_has_type_and_message() {
    let meta = site("posix.unlink", "file.delete", PATH);
    let of = |args| record(&full(), &call(&meta, vec![text("/x")], raised(args)));
    let one = of(vec![text("gone")]);
    assert_eq!(one.severity_text, "WARN");
    assert_eq!(get(&one, "exception.type").as_deref(), Some("?"));
    assert_eq!(get(&one, "error.type").as_deref(), Some("?"));
    assert_eq!(get(&one, "exception.message").as_deref(), Some("gone"));
    assert_eq!(get(&one, "pytrace.outcome").as_deref(), Some("raise"));
    let two = of(vec![Value::Int(2), text("no")]);
    assert_eq!(get(&two, "exception.message").as_deref(), Some("(2, b'no')"));
    let number = of(vec![Value::Int(2)]);
    assert_eq!(get(&number, "exception.message").as_deref(), Some("2"));
    assert_eq!(get(&of(Vec::new()), "exception.message"), None);
    let unknown = Outcome::Raised(Raised {
        ty: None,
        id: None,
        args: ExceptionArgs::Unknown,
    });
    let unknown = record(&none(), &call(&meta, vec![text("/x")], unknown));
    assert_eq!(get(&unknown, "exception.type"), None);
    assert_eq!(body(&unknown), "posix.unlink raised ?");
}

#[test]
fn without_values_a_record_has_names_only() {
    let meta = site("db.Cursor.execute", "db.execute", QUERY);
    let args = || vec![text("SELECT 'hidden'"), text("/x.db")];
    for outcome in [
        Outcome::Returned(text("hidden")),
        Outcome::Yielded(text("hidden")),
        raised(vec![text("hidden")]),
        Outcome::Unobserved("it ended"),
    ] {
        let mut event = call(&meta, args(), outcome);
        event.arguments.self_ = Some(text("hidden"));
        let record = record(&none(), &event);
        assert_eq!(get(&record, "file.path").as_deref(), Some("/x.db"));
        assert!(!format!("{record:?}").contains("hidden"), "{record:?}");
    }
    let of = |outcome| body(&record(&none(), &call(&meta, args(), outcome)));
    assert_eq!(of(Outcome::Returned(Value::None)), "Cursor.execute returned");
    assert_eq!(of(Outcome::Yielded(Value::None)), "Cursor.execute yielded");
    assert_eq!(of(Outcome::Unobserved("it ended")), "Cursor.execute: it ended");
    let full = record(&full(), &call(&meta, args(), Outcome::Unobserved("it ended")));
    assert_eq!(get(&full, "db.query.text").as_deref(), Some("SELECT 'hidden'"));
    assert_eq!(get(&full, "pytrace.unobserved").as_deref(), Some("it ended"));
}

#[test]
fn what_a_call_acts_on_has_names_of_its_own() {
    const PARTS: &[TargetPart] = &[
        part("host", 0),
        part("port", 1),
        part("to_path", 2),
        part("argv", 3),
        part("pid", 4),
    ];
    let meta = site("x.f", "process.spawn", PARTS);
    let list = Value::Sequence {
        kind: SequenceKind::List,
        items: vec![text("ls")],
        len: 1,
        id: 0,
    };
    let args = vec![
        text("db"),
        Value::Int(5432),
        text("/y"),
        list.clone(),
        Value::None,
    ];
    let mut event = call(&meta, args, Outcome::Returned(Value::None));
    event.duration_ns = None;
    let of = |event: &CallEvent<'_>, records: &Records| {
        let mut found = about_target(&record(records, event));
        found.retain(|attribute| !attribute.starts_with("pytrace.call") && !attribute.contains("return"));
        found.retain(|attribute| !attribute.starts_with("pytrace.result"));
        found
    };
    let expected = [
        "server.address=db",
        "server.port=#5432",
        "pytrace.target.to_path=/y",
    ];
    let argv = r#"pytrace.target.argv={"list":[{"bytes":"bHM="}],"id":"0x0"}"#;
    assert_eq!(of(&event, &full()), [&expected[..], &[argv]].concat());
    assert_eq!(of(&event, &none()), expected);

    let meta = site("s.send", "net.send", &[]);
    let mut event = call(&meta, Vec::new(), Outcome::Returned(Value::None));
    event.duration_ns = None;
    let mut with = |peer: Peer| {
        event.handle = Some(NamedHandle {
            fd: 5,
            of_self: true,
            is_socket: true,
            path: None,
            peer: Some(peer),
        });
        of(&event, &none())
    };
    let fd = "pytrace.target.fd=#5";
    assert_eq!(
        with(Peer::Internet("[::1]:80".into())),
        [fd, "network.peer.address=::1", "network.peer.port=#80"]
    );
    assert_eq!(
        with(Peer::Unix("/run/x:1".into())),
        [fd, "network.peer.address=/run/x:1"]
    );
}

#[test]
fn peers_of_arguments_are_split_too() {
    let meta = site("s.connect", "net.connect", PEER);
    let peer = |host| {
        vec![Value::Sequence {
            kind: SequenceKind::Tuple,
            items: vec![host, Value::Int(443)],
            len: 2,
            id: 0,
        }]
    };
    let event = call(&meta, peer(text("10.0.0.1")), Outcome::Returned(Value::None));
    for (records, address) in [
        (none(), "10.0.0.1"),
        (redacting(Values::None, &[r"10\.[0-9.]+"], &[]), "<redacted>"),
    ] {
        let record = record(&records, &event);
        assert_eq!(get(&record, "network.peer.address").as_deref(), Some(address));
        assert_eq!(get(&record, "network.peer.port").as_deref(), Some("#443"));
    }
    let event = call(&meta, vec![text("/run/s")], Outcome::Returned(Value::None));
    let record = record(&none(), &event);
    assert_eq!(get(&record, "network.peer.address").as_deref(), Some("/run/s"));
    assert_eq!(get(&record, "network.peer.port"), None);
}

#[test]
fn nothing_of_a_record_has_what_is_redacted() {
    let meta = site("app.hush_f", "file.open", PATH);
    let everything = vec![
        text("/tmp/hush"),
        Value::Dict {
            pairs: vec![(text("hush"), text("a hush b"))],
            len: 1,
            id: 0,
        },
        Value::Subclass {
            ty: TypeRef::default(),
            value: Box::new(text("hush")),
            id: 0,
        },
    ];
    let mut event = call(&meta, everything, raised(vec![text("it is hush")]));
    event.stack = vec![frame("hush", "/srv/hush.py", 1), frame("hush", "/srv/hush.py", 1)];
    event.arguments.kwargs = vec![(text("hush"), Value::Masked(None))];
    event.arguments.kwargs_len = 1;
    event.arguments.filled = Some((0, text("hush")));
    event.arguments.self_ = Some(text("hush"));
    event.arguments.attribution = Attribution {
        greenlet: Some(text("hush")),
        task: Some(Task {
            id: 1,
            name: text("hush"),
            coroutine: text("hush"),
        }),
        span: None,
        unknown: true,
    };
    event.handle = Some(NamedHandle {
        fd: 5,
        of_self: false,
        is_socket: true,
        path: Some("/tmp/hush".into()),
        peer: Some(Peer::Unix("hush".into())),
    });
    for values in [Values::Full, Values::None] {
        let records = redacting(values, &["hush"], &[]);
        let record = record(&records, &event);
        let all = format!("{record:?}");
        assert!(!all.contains("hush") && !all.contains("aHVzaA"), "{all}");
        assert_eq!(get(&record, "file.path").as_deref(), Some("/tmp/<redacted>"));
        assert_eq!(get(&record, "pytrace.secret").as_deref(), Some("true"));
        assert_eq!(get(&record, "pytrace.unattributed").as_deref(), Some("true"));
        assert!(records.redaction().count() > 5);
    }
}

#[test]
fn other_events_are_records_too() {
    let records = redacting(Values::None, &["hush"], &[]);
    let shed = |function: &str| ProcessChange::Shed {
        function: function.into(),
        cost_ppm: 9,
        budget_ppm: 1,
    };
    let window = ProcessChange::Window {
        function: "a.hush".into(),
        from_ns: 1,
        calls: 2,
        unseen_ns: 3,
        stays: false,
    };
    let exec = ProcessChange::Exec {
        executable: "/bin/hush".into(),
        parent: None,
    };
    let load = ProcessChange::Load {
        files: vec!["/a.so".into(), "/hush.so".into()],
        functions: 3,
        gap_ns: 4,
    };
    let cost = ProcessChange::Cost {
        cost_ppm: 9,
        budget_ppm: 1,
        shed: Vec::new(),
    };
    for (change, expected) in [
        (ProcessChange::Exit, "exited"),
        (ProcessChange::Fork { parent: 3 }, "forked from 3"),
        (exec, "runs /bin/<redacted>"),
        (load, "3 functions more, of /a.so, /<redacted>.so"),
        (
            shed("a.hush"),
            "from here on only moments are seen of a.<redacted>",
        ),
        (
            window,
            "2 calls of a.<redacted> were seen, and none for a time before",
        ),
        (cost, "tracing costs 9 millionths of a processor"),
    ] {
        let record = records.process(7, &change, 5);
        assert_eq!(body(&record), expected);
        assert_eq!(record.event_name, format!("pytrace.process.{}", change.name()));
        assert_eq!(get(&record, "event.name"), Some(record.event_name.clone()));
        assert_eq!(get(&record, "process.pid").as_deref(), Some("#7"));
        assert!(!format!("{record:?}").contains("hush"));
    }
    let loss = records.loss(4, 5);
    assert_eq!(
        (body(&loss), loss.severity_number),
        ("4 records were lost".into(), 13)
    );
    let summary = |lost| {
        let summary = Summary {
            events: 3,
            lost,
            ..Summary::default()
        };
        records.summary(&summary).severity_text
    };
    assert_eq!([summary(0), summary(1)], ["INFO", "WARN"]);
}

#[test]
fn a_sum_is_one_record() {
    let sum = Sum {
        pid: Some(7),
        function: "a.f".into(),
        effect: "file.open",
        place: Some(frame("save", "/srv/app.py", 88)),
        calls: Aggregate {
            calls: 5,
            errors: 1,
            total_ns: 9,
            ..Aggregate::default()
        },
    };
    let period = Period {
        from_ns: 1,
        to_ns: 2,
        is_whole: false,
    };
    let record = none().sum(&sum, period);
    assert_eq!(
        (record.time_unix_nano, body(&record)),
        (2, "5 calls of a.f".into())
    );
    assert_eq!(get(&record, "pytrace.calls").as_deref(), Some("#5"));
    assert_eq!(get(&record, "pytrace.errors").as_deref(), Some("#1"));
    assert_eq!(get(&record, "code.line.number").as_deref(), Some("#88"));
}

#[test]
fn chosen_and_late_calls_say_so() {
    let meta = site("a.f", "file.open", &[]);
    let mut event = call(&meta, Vec::new(), Outcome::Returned(Value::None));
    (event.weight, event.late, event.stack) = (128, true, Vec::new());
    let record = record(&none(), &event);
    assert_eq!(get(&record, "pytrace.weight").as_deref(), Some("#128"));
    assert_eq!(get(&record, "pytrace.late").as_deref(), Some("#1"));
    assert_eq!(get(&record, "code.function.name"), None);
    assert_eq!(get(&record, "pytrace.secret"), None);
}
