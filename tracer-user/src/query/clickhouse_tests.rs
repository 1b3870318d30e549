use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use super::*;

/// A server that gives these answers, each on a connection of its own; what it was asked.
fn server(answers: &[(u16, &str)]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet", listener.local_addr().unwrap());
    let answers: Vec<(u16, String)> = answers
        .iter()
        .map(|(status, text)| (*status, text.to_string()))
        .collect();
    let asked = thread::spawn(move || {
        let answer = |(status, text): (u16, String)| {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head += &line;
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let response = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
            reader.get_mut().write_all(response.as_bytes()).unwrap();
            head + &String::from_utf8(body).unwrap()
        };
        answers.into_iter().map(answer).collect()
    });
    (url, asked)
}

fn version(version: &str) -> String {
    format!(r#"{{"meta":[{{"name":"version","type":"String"}}],"data":[["{version}"]],"rows":1}}"#)
}

const ROWS: &str = r#"{"meta":[{"name":"a","type":"UInt64"},{"name":"b","type":"String"}],
    "data":[[18446744073709551615,"x"],[null,"y"],[0.5,["z"]]],"rows":3}"#;

fn bound(value: Value) -> Vec<Bound> {
    vec![Bound {
        name: "x".into(),
        value,
    }]
}

#[test]
fn values_are_parameters_of_the_request() {
    let (url, asked) = server(&[(200, &version("24.8.1.1")), (200, ROWS)]);
    let credentials = Credentials {
        user: Some("reader".into()),
        password: Some("hunter2".into()),
    };
    let server = ClickHouse::connect(&url, &credentials, false).unwrap();
    assert_eq!(
        (server.version(), server.engine()),
        ("24.8.1.1", Engine::ClickHouse)
    );
    let hostile = bound(Value::Text("a' & b\n\\".into()));
    let answer = server.ask("SELECT :x FROM {effects}", &hostile, 2).unwrap();
    assert_eq!(answer.columns, ["a", "b"]);
    assert_eq!(
        answer.rows[0],
        [Cell::Int(u64::MAX.into()), Cell::Text("x".into())]
    );
    assert_eq!((answer.rows.len(), answer.more), (2, true));
    let asked = asked.join().unwrap();
    let request = &asked[1];
    assert!(
        request.ends_with("\r\n\r\nSELECT {x:String} FROM effects FINAL"),
        "{request}"
    );
    for part in [
        "POST /?default_format=JSONCompact&database=fleet&",
        "&readonly=2&",
        "&max_result_rows=3&",
        "&skip_unavailable_shards=0",
        "&param_x=a%27%20%26%20b%5Cn%5C%5C ",
        "authorization: Basic cmVhZGVyOmh1bnRlcjI=",
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
}

#[test]
fn old_servers_get_literals() {
    let (url, asked) = server(&[(200, &version("18.16.1")), (200, ROWS), (200, "")]);
    let server = ClickHouse::connect(&url, &Credentials::default(), true).unwrap();
    assert_eq!(server.engine(), Engine::ClickHouse18);
    let answer = server
        .ask("SELECT :x", &bound(Value::Like("it's".into())), 0)
        .unwrap();
    assert_eq!(answer.rows[2], [Cell::Float(0.5), Cell::Text("[\"z\"]".into())]);
    assert!(!answer.more);
    assert_eq!(
        server.ask("SET x = :x", &bound(Value::Number(5)), 0).unwrap(),
        Answer::default()
    );
    let asked = asked.join().unwrap();
    assert!(asked[1].ends_with("SELECT 'it\\'s'"), "{}", asked[1]);
    assert!(asked[1].contains("skip_unavailable_shards=1") && !asked[1].contains("param_x"));
    assert!(!asked[1].contains("authorization"));
    assert!(asked[2].ends_with("SET x = 5"));
}

#[test]
fn what_the_server_says_is_the_error() {
    let dead = "Code: 279, e.displayText() = DB::Exception: All connection tries failed.";
    let (url, asked) = server(&[
        (200, &version("18.16.1")),
        (500, dead),
        (200, "{\"meta\":[],\"data\":[\nCode: 241, memory"),
    ]);
    let server = ClickHouse::connect(&url, &Credentials::default(), false).unwrap();
    let error = server.ask("SELECT 1", &[], 0).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("ClickHouse: {dead}; --partial asks the other shards")
    );
    let error = server.ask("SELECT 1", &[], 0).unwrap_err().to_string();
    assert!(error.contains("Code: 241"), "{error}");
    asked.join().unwrap();
    // Nobody listens any more.
    let error = server.ask("SELECT 1", &[], 0).unwrap_err().to_string();
    assert!(error.contains("does not answer"), "{error}");
}

#[test]
fn shards_that_answer_are_counted() {
    let table = |rows: &str| format!("{{\"meta\":[{{\"name\":\"a\"}}],\"data\":{rows}}}");
    let (url, asked) = server(&[
        (200, &version("18.16.1")),
        (200, &table("[[\"Distributed(fleet, default, effects)\"]]")),
        (200, &table("[[1,\"a\",9000],[2,\"b\",9000],[2,\"c\",9000]]")),
        (200, &table("[[1]]")),
        (200, &table("[[\"ReplacingMergeTree()\"]]")),
    ]);
    let server = ClickHouse::connect(&url, &Credentials::default(), true).unwrap();
    assert_eq!(
        server.shards().unwrap(),
        Some(Shards {
            cluster: "fleet".into(),
            all: 2,
            answered: 1,
            places: ["a:9000", "b:9000", "c:9000"].map(str::to_owned).to_vec(),
        })
    );
    assert_eq!(server.shards().unwrap(), None, "it is one table");
    let asked = asked.join().unwrap();
    assert!(
        asked[3].ends_with("FROM cluster('fleet', system.one)"),
        "{}",
        asked[3]
    );
}

#[test]
fn addresses_have_no_password() {
    let ok = |base: &str, database: Option<&str>| Some((base.to_owned(), database.map(str::to_owned)));
    assert_eq!(address("http://h:8123").ok(), ok("http://h:8123", None));
    assert_eq!(address("https://h/").ok(), ok("https://h", None));
    assert_eq!(address("http://h:8123/db").ok(), ok("http://h:8123", Some("db")));
    for wrong in [
        "http://u:p@h",
        "http://h/a/b",
        "http://h/?x=1",
        "h:8123",
        "http://",
        "no",
    ] {
        assert!(address(wrong).is_err(), "{wrong}");
    }
    assert!(is_in_the_clear("http://clickhouse:8123"));
    for safe in [
        "https://clickhouse",
        "http://127.0.0.1:8123",
        "http://[::1]:1",
        "http://localhost",
        "no",
    ] {
        assert!(!is_in_the_clear(safe), "{safe}");
    }
}

#[test]
fn clusters_are_named_with_and_without_quotes() {
    assert_eq!(cluster_of("Distributed('a', 'b', 'c')").as_deref(), Some("a"));
    assert_eq!(cluster_of("Distributed(a, b, c, rand())").as_deref(), Some("a"));
    assert_eq!(cluster_of("MergeTree() ORDER BY a"), None);
}

#[test]
fn fields_are_escaped() {
    assert_eq!(field("a\tb\r\0\\"), "a\\tb\\r\\0\\\\");
    assert_eq!(percent("a b/é~"), "a%20b%2F%C3%A9~");
    assert_eq!(cell(serde_json::json!(true)), Cell::Int(1));
}
