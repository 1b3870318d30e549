//! aiohttp, server and client, on asyncio's own loop and on uvloop: each byte that its peers sent and got is seen.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
};

use serde_json::Value;
use tests::{Program, Tracer, calls, data, packaged};

const REQUESTS: usize = 4;

/// One relayed request, as the peers have it.
struct Exchange {
    request: Vec<u8>,
    answer: Vec<u8>,
    /// What the other server got and answered.
    relayed: Vec<u8>,
    relayed_answer: Vec<u8>,
    /// The client's own address.
    client: String,
}

/// The other server: takes one request on one connection; what it got and answered.
fn serve_one(listener: &TcpListener, number: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut got = Vec::new();
    while !is_whole(&got) {
        let mut part = [0; 4096];
        let count = stream.read(&mut part).expect("the client writes");
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&got));
        got.extend_from_slice(&part[..count]);
    }
    let body = format!("answer {number} ").repeat(1000);
    let answer = format!(
        "HTTP/1.1 201 Created\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).expect("the client reads");
    (got, answer.into_bytes())
}

/// Is a request there with the whole of its body?
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .split("Content-Length: ")
        .nth(1)
        .and_then(|rest| rest.split('\r').next());
    length.and_then(|length| length.parse().ok()) == Some(body.len())
}

fn exchange(port: u64, listener: &TcpListener, number: usize) -> Exchange {
    let mut stream = TcpStream::connect(("127.0.0.1", port as u16)).expect("the service listens");
    let client = stream.local_addr().expect("an address").to_string();
    let other = listener.local_addr().expect("an address").port();
    let body = format!("body {number} ").repeat(number * 500);
    let request = format!(
        "POST /{other}/name-{number} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let (relayed, relayed_answer, answer) = thread::scope(|scope| {
        let other = scope.spawn(|| serve_one(listener, number));
        stream.write_all(request.as_bytes()).expect("the service reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the service answers");
        let (got, answered) = other.join().expect("the other server");
        (got, answered, answer)
    });
    Exchange {
        request: request.into_bytes(),
        answer,
        relayed,
        relayed_answer,
        client,
    }
}

/// What the program was seen to do meanwhile.
fn traced(python: &Path, event_loop: &str, effects: &str) -> (Vec<Value>, Vec<Exchange>, u16) {
    let mut program = Program::real(python, "aio.py", &[event_loop]);
    let port = program.value().as_u64().expect("a port");
    let tracer = Tracer::attach(&program, &["-e", effects, "--max-str", "32768"]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let exchanges = (0..REQUESTS)
        .map(|number| exchange(port, &listener, number))
        .collect();
    program.run_with("end");
    let trace = tracer.stop();
    assert!(program.end());
    assert_eq!(trace.summary["lost"], 0);
    let port = listener.local_addr().expect("an address").port();
    (calls(&trace.events), exchanges, port)
}

/// The bytes that a successful call sent or received.
fn moved(call: &Value) -> Vec<u8> {
    let function = call["function"].as_str().unwrap_or_default();
    if call["outcome"] != "return" {
        return Vec::new();
    }
    let count = call["result"].as_u64().unwrap_or(u64::MAX) as usize;
    let mut bytes = match function {
        "_socket.socket.recv" => data(&call["result"]),
        "_socket.socket.recv_into" => data(&call["filled"]),
        "_socket.socket.sendmsg" => {
            let parts = ["list", "tuple"]
                .into_iter()
                .find_map(|kind| call["args"][0][kind].as_array());
            parts
                .unwrap_or_else(|| panic!("{call}"))
                .iter()
                .flat_map(data)
                .collect()
        }
        _ => data(&call["args"][0]),
    };
    bytes.truncate(count);
    bytes
}

/// All bytes of the calls with that effect, with that peer.
fn bytes_of(events: &[Value], effect: &str, peer: &str) -> Vec<u8> {
    let with_it = events
        .iter()
        .filter(|call| call["effect"] == effect && call["target"]["peer"] == peer);
    with_it.flat_map(moved).collect()
}

fn assert_bytes(seen: &[u8], truth: &[u8], what: &str) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
    assert!(
        seen == truth,
        "{what}: {} bytes of {}\n{}\n--\n{}",
        seen.len(),
        truth.len(),
        text(seen),
        text(truth)
    );
}

#[test]
fn aiohttp_on_asyncio() {
    for python in packaged() {
        let (events, exchanges, other) = traced(&python, "asyncio", "net");
        for one in &exchanges {
            assert_bytes(
                &bytes_of(&events, "net.recv", &one.client),
                &one.request,
                "the request",
            );
            assert_bytes(
                &bytes_of(&events, "net.send", &one.client),
                &one.answer,
                "the answer",
            );
        }
        let other = format!("127.0.0.1:{other}");
        let relayed: Vec<u8> = exchanges.iter().flat_map(|one| one.relayed.clone()).collect();
        let answers: Vec<u8> = exchanges
            .iter()
            .flat_map(|one| one.relayed_answer.clone())
            .collect();
        assert_bytes(
            &bytes_of(&events, "net.send", &other),
            &relayed,
            "what was relayed",
        );
        assert_bytes(
            &bytes_of(&events, "net.recv", &other),
            &answers,
            "what was answered to it",
        );
    }
}

#[test]
fn aiohttp_on_uvloop() {
    for python in packaged() {
        let (events, exchanges, _) = traced(&python, "uvloop", "net,memory.parse");
        let all = |function: &str| -> Vec<u8> {
            let calls = events.iter().filter(|call| call["function"] == function);
            calls.flat_map(|call| data(&call["args"][0])).collect()
        };
        let sent: Vec<u8> = exchanges
            .iter()
            .flat_map(|one| [&one.relayed[..], &one.answer].concat())
            .collect();
        assert_bytes(&all("uvloop.loop.UVStream.write"), &sent, "what was sent");
        // uvloop gives its protocols what it received without a call of C; aiohttp's parser is called with it.
        let got: Vec<u8> = exchanges
            .iter()
            .flat_map(|one| [&one.request[..], &one.relayed_answer].concat())
            .collect();
        assert_bytes(
            &all("aiohttp._http_parser.HttpParser.feed_data"),
            &got,
            "what was received",
        );
    }
}
