//! Web services with SQLite, of the standard library and with Flask: each request's SQL and file writes are seen once,
//! with values and lines, and every byte that was answered is seen as it was sent.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    thread,
};

use serde_json::Value;
use tests::{Program, Tracer, assert_acts, calls, data, from_file, interpreters, packaged};

/// Connections at a time, and requests that each makes.
const CLIENTS: usize = 4;
const ORDERS: usize = 3;

/// One request on a connection of its own; the whole answer.
fn ask(port: u64, method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("the service listens");
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the service reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the service answers");
    answer
}

/// What one client does; the answers it got.
fn client(port: u64, number: usize) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for order in 0..ORDERS {
        let body = format!(
            "[\"client {number}\", \"item {order}\", {}]",
            100 * number + order
        );
        answers.push(ask(port, "POST", "/orders", &body));
        answers.push(ask(port, "GET", &format!("/orders/{}", number * 10 + order), ""));
    }
    answers.push(ask(port, "POST", "/orders", "[\"nobody\", null, null]"));
    answers
}

/// The answers that were sent: what each thread sent, taken apart by the lengths in it.
fn answers_sent(events: &[Value]) -> Vec<Vec<u8>> {
    let mut threads: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for send in calls(events).iter().filter(|call| call["effect"] == "net.send") {
        assert_eq!(send["outcome"], "return");
        let sent = data(&send["args"][0]);
        threads
            .entry(send["tid"].as_u64().expect("a thread"))
            .or_default()
            .extend(sent);
    }
    threads.values().flat_map(|bytes| answers_in(bytes)).collect()
}

fn answers_in(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    while !bytes.is_empty() {
        let end = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head")
            + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split('\r').next());
        let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
        let (answer, rest) = bytes.split_at(end + length);
        answers.push(answer.to_vec());
        bytes = rest;
    }
    answers
}

fn is_traced_as_it_works(python: &Path, name: &str) {
    let mut service = Program::real(python, name, &[]);
    let port = service.value().as_u64().expect("a port");
    let tracer = Tracer::attach(&service, &["-e", "file,db,net", "--max-str", "2048"]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| thread::spawn(move || client(port, number)))
        .collect();
    let mut answers: Vec<Vec<u8>> = clients
        .into_iter()
        .flat_map(|client| client.join().expect("a client"))
        .collect();
    let acts = service.run_with("report");
    let trace = tracer.stop();
    assert_eq!(trace.summary["lost"], 0);
    println!(
        "{}: {} acts, {} answers",
        trace.python(),
        acts.len(),
        answers.len()
    );
    assert_acts(&from_file(&trace.events, "orders.py"), &acts);
    let mut sent = answers_sent(&trace.events);
    sent.sort();
    answers.sort();
    assert_eq!(sent, answers);
    assert!(service.end());
}

#[test]
fn a_service_of_the_standard_library() {
    for python in interpreters() {
        is_traced_as_it_works(&python, "http_service.py");
    }
}

#[test]
fn a_service_with_flask() {
    for python in packaged() {
        is_traced_as_it_works(&python, "flask_service.py");
    }
}
