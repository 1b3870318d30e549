//! `requests`, to a TLS server that keeps what it received and sent: the plaintext is seen, secrets are not.

use std::path::Path;

use serde_json::{Value, json};
use tests::{Folder, Program, Trace, Tracer, calls, data, packaged};

/// What `tls_client.py` asks for.
const REQUESTS: usize = 4;

/// The bytes of a connection that the client sent, and that it got.
type Conversation = (Vec<u8>, Vec<u8>);

/// The server, and the file with the authority that its certificate is from.
struct Server {
    program: Program,
    port: u64,
    authority: String,
    _folder: Folder,
}

impl Server {
    fn start(python: &Path) -> Self {
        let folder = Folder::new("tls");
        let (authority, certificate) = (folder.text("authority.pem"), folder.text("server.pem"));
        let args = [authority.as_str(), &certificate, &REQUESTS.to_string()].map(str::to_owned);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut program = Program::real(python, "tls_server.py", &args);
        let port = program.value().as_u64().expect("a port");
        Self {
            program,
            port,
            authority,
            _folder: folder,
        }
    }

    /// What it received and sent, by connection.
    fn kept(&mut self) -> Vec<Conversation> {
        (0..REQUESTS)
            .map(|_| {
                let pair = self.program.value();
                (data(&pair["request"]), data(&pair["answer"]))
            })
            .collect()
    }
}

/// The trace of the client, what it printed, and what the server kept.
fn traced(python: &Path, options: &[&str]) -> (Trace, Vec<Value>, Vec<Conversation>) {
    let mut server = Server::start(python);
    let mut client = Program::real(python, "tls_client.py", &[]);
    let wide = ["-e", "net", "--max-str", "16384"];
    let tracer = Tracer::attach(&client, &[&wide, options].concat());
    client.tell("go");
    let answers = client.run_with(&json!([server.port, server.authority]).to_string());
    let trace = tracer.stop();
    let kept = server.kept();
    assert!(client.end() && server.program.end());
    assert_eq!(trace.summary["lost"], 0);
    (trace, answers, kept)
}

/// What went through each TLS connection: written and read, in plain text.
fn plaintext(trace: &Trace) -> Vec<Conversation> {
    let mut connections: Vec<Conversation> = Vec::new();
    for call in calls(&trace.events) {
        let name = call["function"].as_str().unwrap_or_default();
        if call["outcome"] != "return" {
            continue;
        }
        match name {
            // The objects of connections that are closed may be made again at the same address.
            "_ssl._SSLSocket.do_handshake" => connections.push(Default::default()),
            "_ssl._SSLSocket.write" => {
                let written = data(&call["args"][0]);
                assert_eq!(call["result"], written.len(), "{call}");
                connections.last_mut().expect("a handshake").0.extend(written);
            }
            "_ssl._SSLSocket.read" => {
                let read = call.get("filled").unwrap_or(&call["result"]);
                connections.last_mut().expect("a handshake").1.extend(data(read));
            }
            _ => {}
        }
    }
    connections
}

#[test]
fn the_plaintext_of_a_tls_connection_is_seen() {
    for python in packaged() {
        let (trace, answers, kept) = traced(&python, &["--show-secrets"]);
        assert_eq!(answers.len(), REQUESTS);
        assert!(answers.iter().all(|answer| answer["status"] == 200));
        let seen = plaintext(&trace);
        let bytes: usize = kept
            .iter()
            .map(|(request, answer)| request.len() + answer.len())
            .sum();
        println!("{}: {bytes} bytes by {REQUESTS} connections", trace.python());
        assert!(
            seen == kept,
            "{}: {:?}\n{:?}",
            trace.python(),
            text(&seen),
            text(&kept)
        );
        // Encrypted data is not shown as sent or received a second time.
        let others = [
            "_socket.socket.send",
            "_socket.socket.recv",
            "_socket.socket.recv_into",
        ];
        let raw = calls(&trace.events);
        assert!(
            !raw.iter()
                .any(|call| others.iter().any(|other| call["function"] == *other))
        );
    }
}

fn text(seen: &[Conversation]) -> Vec<String> {
    let brief = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    seen.iter().map(|(a, b)| brief(a) + &brief(b)).collect()
}

#[test]
fn what_is_secret_in_it_is_masked() {
    for python in packaged() {
        let (trace, _, kept) = traced(&python, &[]);
        let sent = text(&kept).concat();
        assert!(sent.contains("password=hunter2") && sent.contains("Bearer hunter2"));
        let writes: Vec<Value> = calls(&trace.events)
            .into_iter()
            .filter(|call| call["function"] == "_ssl._SSLSocket.write")
            .map(|call| call["args"][0].clone())
            .collect();
        let masked: Vec<String> = writes
            .iter()
            .filter(|value| value["masked"] == true)
            .map(|value| String::from_utf8_lossy(&data(value)).into_owned())
            .collect();
        let [form, header] = &masked[..] else {
            panic!("{}: {masked:?}", trace.python());
        };
        assert!(form.ends_with("user=ann&password=***"), "{form}");
        assert!(header.contains("\r\nAuthorization: ***\r\n"), "{header}");
        assert!(!writes.iter().any(
            |value| value["masked"] != true && String::from_utf8_lossy(&data(value)).contains("hunter2")
        ));
    }
}
