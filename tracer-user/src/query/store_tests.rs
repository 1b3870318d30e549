use super::*;
use crate::query::{
    lines::Lines,
    parameter::bind,
    questions::{QUESTIONS, Question},
    rows::rows,
};

/// The records of a small fleet, in the table.
fn fleet() -> Store {
    let mut filling = Filling::begin().unwrap();
    for request in Lines::new(&include_bytes!("testdata/fleet.otlp.jsonl")[..]) {
        rows(&request.unwrap(), &mut |row| filling.insert(&row).unwrap());
    }
    filling.finish().unwrap()
}

/// What is asked of it; each row as texts, `|` between them.
fn ask(name: &str, given: &[(&str, &str)]) -> Vec<String> {
    let question = Question::find(name).unwrap();
    let given: Vec<(String, String)> = given
        .iter()
        .map(|(n, v)| (n.to_string(), v.to_string()))
        .collect();
    let bound = bind(question.parameters, &given, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let answer = fleet().ask(question.sql(Engine::Sqlite), &bound, 0).unwrap();
    answer.rows.iter().map(|row| shown(row)).collect()
}

fn shown(row: &[Cell]) -> String {
    let cells = row.iter().map(|cell| match cell {
        Cell::Null => "-".to_owned(),
        Cell::Int(number) => number.to_string(),
        Cell::Float(number) => number.to_string(),
        // Of moments the seconds.
        Cell::Text(text) => text.strip_prefix("2026-01-01 ").unwrap_or(text).to_owned(),
    });
    cells.collect::<Vec<_>>().join("|")
}

#[test]
fn who_touched_a_path_or_a_peer() {
    let keys = [
        "billing|b|200|_io.open|/srv/bill.py|6|sign|/etc/app/key.pem|2|2|0|00:00:10.000000|01:00:01.000000",
        "shop|a|100|_io.open|/srv/shop.py|10|load|/etc/app/key.pem|2|2|0|00:00:01.000000|00:00:02.000000",
    ];
    assert_eq!(ask("who-touched", &[("path", "*/key.???")]), keys);
    assert_eq!(
        ask("who-touched", &[("path", "*.pem"), ("service", "b*")]),
        keys[..1]
    );
    assert_eq!(ask("who-touched", &[("path", "*.pem"), ("host", "a")]), keys[1..]);
    // An underscore is one, and case counts.
    let weighted =
        "shop|a|100|posix.stat|/srv/shop.py|30|poll|/srv/x_y|128|1|0|00:00:05.000000|00:00:05.000000";
    assert_eq!(ask("who-touched", &[("path", "/srv/x_*")]), [weighted]);
    assert!(ask("who-touched", &[("path", "/SRV/*")]).is_empty());
    assert_eq!(
        ask("who-touched", &[("peer", "[*]:80")]),
        [
            "billing|b|200|_socket.socket.connect|/srv/bill.py|5|pay|[::1]:80|1|1|1|00:00:09.000000|00:00:09.000000"
        ]
    );
    // What traced programs name their files is nothing that SQL or a pattern reads.
    let hostile = ask("who-touched", &[("path", "/tmp/it's \\ 100%_\n\x1b[31mé")]);
    assert_eq!(hostile.len(), 1, "{hostile:?}");
}

#[test]
fn new_effects_are_those_that_were_not_there_before() {
    let since = ("since", "2026-01-01T01:00:00Z");
    assert_eq!(
        ask("new-effects", &[since]),
        [
            "billing|file.open|_io.open|/tmp/it's \\ 100%_\n\x1b[31mé|/srv/bill.py|9|pay|1|1|01:00:00.000000|01:00:00.000000",
            "billing|net.resolve|_socket.getaddrinfo|db.example:5432|/srv/bill.py|12|pay|1|1|01:00:02.000000|01:00:02.000000",
        ]
    );
}

#[test]
fn percentiles_count_weights() {
    let slowest = ask("slowest", &[("service", "shop")]);
    assert_eq!(
        slowest[1..4],
        [
            "_socket.socket.sendall|/srv/shop.py|20|Shop.order|1|1|5000|5000|5000",
            "_io.open|/srv/shop.py|10|load|2|2|1000|3000|3000",
            // 128 of 200 ns, 64 of 900 ns.
            "posix.stat|/srv/shop.py|30|poll|192|2|200|900|900",
        ]
        .map(|row| format!("shop|{row}"))
    );
    assert!(
        slowest.iter().all(|row| !row.contains("posix.read")),
        "it has no duration"
    );
}

#[test]
fn errors_and_peers_and_the_most_frequent() {
    let errors = ask("errors", &[]);
    assert_eq!(
        errors,
        [
            "billing|ConnectionRefusedError|_socket.socket.connect|/srv/bill.py|5|pay|1|1|00:00:09.000000|00:00:09.000000|(111, 'Connection refused')",
            "shop|sqlite3.OperationalError|sqlite3.Connection.execute|/srv/shop.py|21|Shop.order|1|1|00:00:04.000000|00:00:04.000000|it's \\ locked\n\x1b[31m",
        ]
    );
    let peers = ask("peers", &[]);
    assert_eq!(peers.len(), 3);
    assert_eq!(
        peers[0],
        "billing|b|[::1]:80|net|1|1|1|00:00:09.000000|00:00:09.000000"
    );
    let top = ask("top", &[]);
    assert_eq!(
        top[0],
        "shop|file.stat|posix.stat|/srv/shop.py|30|poll|192|2|0|83200"
    );
    assert_eq!(top.len(), 14);
    assert!(ask("top", &[("since", "2026-01-01T02:00:00Z")]).is_empty());
}

#[test]
fn secrets_are_masked_values_and_files_of_keys() {
    let secrets = ask("secrets", &[]);
    let what: Vec<String> = secrets
        .iter()
        .map(|row| row.split('|').take(4).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        what,
        [
            "billing|b|masked value|_hashlib.hmac_digest",
            "billing|b|secret file|/etc/app/key.pem",
            "shop|a|masked value|posix.putenv",
            "shop|a|secret file|/etc/app/key.pem",
            "unknown_service:python3|b|secret file|/home/u/.ssh/id_rsa",
        ]
    );
}

#[test]
fn a_trace_is_told_in_order() {
    let trace = ask("trace", &[("trace_id", "0af7651916cd43dd8448eb211c80319c")]);
    let parts: Vec<Vec<&str>> = trace.iter().map(|row| row.split('|').collect()).collect();
    let services: Vec<(&str, &str)> = parts.iter().map(|row| (row[1], row[6])).collect();
    assert_eq!(
        services,
        [
            ("shop", "_socket.socket.sendall"),
            ("shop", "sqlite3.Connection.execute"),
            ("billing", "_io.open")
        ]
    );
}

#[test]
fn what_came_twice_counts_once_and_losses_are_told() {
    let store = fleet();
    assert_eq!(
        store.counts(),
        Counts {
            effects: 17,
            twice: 1
        }
    );
    let losses = ask("losses", &[]);
    assert_eq!(
        losses,
        [
            "billing|b|pytrace.loss||7|0|1|00:00:20.000000|00:00:20.000000",
            "billing|b|pytrace.summary||7|0|1|00:00:00.000000|00:00:00.000000",
            "billing|b|pytrace.process.window|posix.stat|0|1700000000|1|00:00:21.000000|00:00:21.000000",
        ]
    );
}

#[test]
fn a_limit_says_that_there_is_more() {
    let answer = fleet()
        .ask("SELECT pid FROM effects ORDER BY pid", &[], 3)
        .unwrap();
    assert_eq!((answer.rows.len(), answer.more), (3, true));
    let answer = fleet().ask("SELECT 1, 2.5, NULL", &[], 1).unwrap();
    assert_eq!(answer.rows, [[Cell::Int(1), Cell::Float(2.5), Cell::Null]]);
    assert!(!answer.more);
}

#[test]
fn questions_only_read() {
    let store = fleet();
    for sql in [
        "DELETE FROM effects",
        "DROP TABLE effects",
        "CREATE TABLE x (a)",
        "ATTACH '/tmp/pytrace-query-attached' AS other",
        "PRAGMA query_only = OFF",
        "VACUUM INTO '/tmp/pytrace-query-attached'",
        "SELECT load_extension('x')",
        "BEGIN",
        "SELECT 1; DELETE FROM effects",
    ] {
        assert!(store.ask(sql, &[], 0).is_err(), "{sql}");
    }
    assert!(!std::path::Path::new("/tmp/pytrace-query-attached").exists());
    let answer = store.ask("SELECT count(*) FROM effects", &[], 0).unwrap();
    assert_eq!(answer.rows, [[Cell::Int(17)]]);
}

#[test]
fn parameters_are_bound_and_one_without_a_value_is_named() {
    let text = |value: &str| Bound {
        name: "x".into(),
        value: Value::Text(value.into()),
    };
    let store = fleet();
    let hostile = "a' OR 1=1 --";
    let answer = store.ask("SELECT :x", &[text(hostile)], 0).unwrap();
    assert_eq!(answer.rows, [[Cell::Text(hostile.into())]]);
    // A number in a text compares with a number.
    let answer = store
        .ask("SELECT count(*) FROM effects WHERE pid = :x", &[text("300")], 0)
        .unwrap();
    assert_eq!(answer.rows, [[Cell::Int(2)]]);
    let error = store.ask("SELECT :x, :y", &[text("1")], 0).unwrap_err();
    assert_eq!(error.to_string(), ":y has no value: `-p NAME=VALUE`");
    assert!(store.ask("SELECT ?", &[], 0).is_err());
}

#[test]
fn like_is_that_of_clickhouse() {
    for (text, pattern, expected) in [
        ("abc", "a%", true),
        ("abc", "%b%", true),
        ("abc", "A%", false),
        ("abc", "a_c", true),
        ("abc", "a\\_c", false),
        ("a_c", "a\\_c", true),
        ("a%c", "a\\%c", true),
        ("", "", true),
        ("", "%", true),
        ("a", "", false),
        ("aXbXc", "a%X%c", true),
        ("aab", "%ab", true),
        ("é", "_", true),
        ("a\\", "a\\", true),
        ("ab", "a\\\\", false),
        ("a\\", "a\\\\", true),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
    }
    let answer = fleet()
        .ask("SELECT 'a' LIKE NULL, 12 LIKE '1_', 1.5 LIKE '1.%'", &[], 0)
        .unwrap();
    assert_eq!(answer.rows, [[Cell::Null, Cell::Int(1), Cell::Int(1)]]);
}

#[test]
fn every_question_can_be_asked() {
    for question in QUESTIONS {
        let given: Vec<(String, String)> = question
            .parameters
            .iter()
            .filter(|parameter| parameter.default.is_none())
            .map(|parameter| (parameter.name.to_owned(), "0".to_owned()))
            .collect();
        let bound = bind(question.parameters, &given, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let answer = fleet().ask(question.sql(Engine::Sqlite), &bound, 0);
        assert!(answer.is_ok(), "{}: {answer:?}", question.name);
    }
}
