//! ClickHouse servers of a test's own: Debian's 18.16, and the modern one that is chdb.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Stdio},
    thread,
};

use serde_json::{Map, Value, json};

use crate::{Folder, parse, programs, server::until_ready, tool};

/// What the server writes down when it takes connections.
const READY: &str = "Ready for connections";
/// The name of the cluster that all servers of a test are.
pub const CLUSTER: &str = "fleet";

/// A server of 2018. Killed, and its data removed, when dropped.
pub struct ClickHouse {
    child: Child,
    pub port: u16,
    _folder: Folder,
}

impl ClickHouse {
    /// Starts as many as are asked for, each a shard of one cluster, with the tool's tables, and `fleet.effects` and
    /// `fleet.losses` over all. `None`, and said so, where it is not installed.
    pub fn start(shards: usize) -> Option<Vec<Self>> {
        let Some(program) = std::env::var_os("PYTRACE_CLICKHOUSE").map(PathBuf::from) else {
            println!("SKIPPED: no ClickHouse 18.16 here; `cargo xtask e2e` takes it from Debian's packages");
            return None;
        };
        let ports: Vec<(u16, u16)> = (0..shards).map(|_| (free_port(), free_port())).collect();
        let servers: Vec<Self> = ports
            .iter()
            .map(|(http, native)| Self::one(&program, *http, *native, &ports))
            .collect();
        let schema = tool(&["query", "--schema", "clickhouse-18"]).stdout;
        for server in &servers {
            statements(&schema).for_each(|sql| server.run(&sql));
            server.run("CREATE DATABASE fleet");
            for table in ["effects", "losses"] {
                server.run(&format!(
                    "CREATE TABLE fleet.{table} AS default.{table} ENGINE = Distributed('{CLUSTER}', 'default', '{table}')"
                ));
            }
        }
        Some(servers)
    }

    fn one(program: &Path, http: u16, native: u16, shards: &[(u16, u16)]) -> Self {
        let folder = Folder::new("clickhouse");
        let shard = |(_, port): &(u16, u16)| {
            format!("<shard><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>")
        };
        let shards: String = shards.iter().map(shard).collect();
        let (here, users) = (folder.path().display(), folder.text("users.xml"));
        let config = format!(
            "<yandex><logger><console>1</console><level>information</level></logger>
            <listen_host>127.0.0.1</listen_host><http_port>{http}</http_port><tcp_port>{native}</tcp_port>
            <path>{here}/data/</path><tmp_path>{here}/tmp/</tmp_path><users_config>{users}</users_config>
            <default_profile>default</default_profile><default_database>default</default_database>
            <timezone>UTC</timezone><mark_cache_size>67108864</mark_cache_size>
            <remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers></yandex>"
        );
        fs::write(folder.file("config.xml"), config).expect("a file");
        let all = "<yandex><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>
            <networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></default></users></yandex>";
        fs::write(users, all).expect("a file");
        // The kernel ends it with the test, however that ends.
        let mut child = crate::command("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .arg(format!("--config-file={}", folder.text("config.xml")))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv starts");
        let log = until_ready(&mut child, READY);
        // So that it never waits for its log to be read.
        thread::spawn(move || log.for_each(drop));
        Self {
            child,
            port: http,
            _folder: folder,
        }
    }

    /// What `--on` takes.
    pub fn url(&self, database: &str) -> String {
        format!("http://127.0.0.1:{}/{database}", self.port)
    }

    fn run(&self, sql: &str) {
        post(self.port, sql);
    }

    /// Takes in OTLP/JSON lines, of which `wanted` says by host.
    pub fn insert(&self, lines: &str, wanted: impl Fn(&str) -> bool) {
        let old = |row: &Map<String, Value>| {
            let mut row = row.clone();
            for name in ["ResourceAttributes", "LogAttributes"] {
                let Some(Value::Object(attributes)) = row.remove(name) else {
                    continue;
                };
                let keys: Vec<&String> = attributes.keys().collect();
                let values: Vec<&Value> = attributes.values().collect();
                row.insert(format!("{name}.Key"), json!(keys));
                row.insert(format!("{name}.Value"), json!(values));
            }
            Value::Object(row).to_string()
        };
        let rows: Vec<String> = logs(lines, wanted).iter().map(old).collect();
        self.run(&format!(
            "INSERT INTO otel_logs FORMAT JSONEachRow\n{}",
            rows.join("\n")
        ));
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Modern ClickHouse. Ends when dropped.
pub struct Chdb {
    child: Child,
    /// Open as long as it is to run.
    stdin: Option<ChildStdin>,
    port: u16,
    _folder: Folder,
}

impl Chdb {
    /// Starts it with the tool's tables. `None`, and said so, where it is not installed.
    pub fn start() -> Option<Self> {
        let python = engines()?;
        let folder = Folder::new("chdb");
        let schema = tool(&["query", "--schema", "clickhouse"]).stdout;
        fs::write(folder.file("schema.sql"), schema).expect("a file");
        let mut child = crate::command(python)
            .arg(programs().join("chdb_server.py"))
            .args([folder.file("data"), folder.file("schema.sql")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped"))
            .read_line(&mut port)
            .expect("text");
        Some(Self {
            stdin: child.stdin.take(),
            child,
            port: port.trim().parse().expect("its port"),
            _folder: folder,
        })
    }

    /// What `--on` takes.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Takes in OTLP/JSON lines, as the Collector's exporter does.
    pub fn insert(&self, lines: &str) {
        let rows = logs(lines, |_| true);
        // A time may be a decimal number of seconds; a JSON number would lose digits.
        let row = |row: &Map<String, Value>| Value::Object(row.clone()).to_string();
        let rows: Vec<String> = rows.iter().map(row).collect();
        post(
            self.port,
            &format!("INSERT INTO otel_logs FORMAT JSONEachRow\n{}", rows.join("\n")),
        );
    }
}

impl Drop for Chdb {
    fn drop(&mut self) {
        self.stdin.take();
        let _ = self.child.wait();
    }
}

/// The Python that has chdb and duckdb; `cargo xtask test` makes it. `None`, and said so, where it is not.
pub fn engines() -> Option<PathBuf> {
    let python = std::env::var_os("PYTRACE_ENGINES").map(PathBuf::from);
    if python.is_none() {
        println!("SKIPPED: no Python with chdb and duckdb here; `cargo xtask e2e` makes one");
    }
    python
}

/// The rows of `otel_logs` that the Collector's ClickHouse exporter makes of OTLP/JSON lines: attributes are texts.
fn logs(lines: &str, wanted: impl Fn(&str) -> bool) -> Vec<Map<String, Value>> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut rows = Vec::new();
    for of_resource in lines.lines().flat_map(|line| list(&parse(line), "resourceLogs")) {
        let resource = attributes(&of_resource["resource"]);
        let text = |key: &str| resource.get(key).and_then(Value::as_str).unwrap_or_default();
        if !wanted(text("host.name")) {
            continue;
        }
        for record in list(&of_resource, "scopeLogs")
            .iter()
            .flat_map(|scope| list(scope, "logRecords"))
        {
            let row = json!({
                "Timestamp": record["timeUnixNano"],
                "TraceId": record["traceId"].as_str().unwrap_or_default(),
                "SpanId": record["spanId"].as_str().unwrap_or_default(),
                "SeverityNumber": record["severityNumber"],
                "ServiceName": text("service.name"),
                "Body": record["body"]["stringValue"].as_str().unwrap_or_default(),
                "ResourceAttributes": resource,
                "LogAttributes": attributes(&record),
            });
            rows.extend(row.as_object().cloned());
        }
    }
    rows
}

fn attributes(of: &Value) -> Map<String, Value> {
    let text = |value: &Value| {
        let (_, value) = value
            .as_object()
            .and_then(|value| value.iter().next())
            .expect("a value");
        match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    };
    let list = of["attributes"].as_array().into_iter().flatten();
    list.map(|attribute| {
        let key = attribute["key"].as_str().expect("a key").to_owned();
        (key, text(&attribute["value"]).into())
    })
    .collect()
}

/// The statements of a text, without comments.
fn statements(text: &str) -> impl Iterator<Item = String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join("\n");
    let statements: Vec<String> = text.split(';').map(|part| part.trim().to_owned()).collect();
    statements.into_iter().filter(|sql| !sql.is_empty())
}

/// Sends a statement; it must succeed.
fn post(port: u16, sql: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    let head = format!("POST / HTTP/1.0\r\nContent-Length: {}\r\n\r\n", sql.len());
    stream
        .write_all(&[head.as_bytes(), sql.as_bytes()].concat())
        .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let status = answer.split_whitespace().nth(1);
    assert_eq!(status, Some("200"), "{sql:.200}: {answer}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
