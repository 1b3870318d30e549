//! The tool, as an agent.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStderr, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Folder, binary, command};

/// A running agent. Ended when dropped, and with it its tracer.
pub struct Agent {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
    config: PathBuf,
    port: u16,
}

/// `[agent]` and the rest that every configuration of a test needs; its state is in the folder.
pub fn config(folder: &Folder, rest: &str) -> String {
    // One that is free now; nobody else here takes it in between.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    format!(
        "[agent]\nstate_dir = \"{}\"\nscan = \"200ms\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n{rest}",
        folder.text("state")
    )
}

impl Agent {
    /// Starts it with a configuration, [`config`].
    pub fn start(folder: &Folder, text: &str) -> Self {
        let config = folder.file("agent.toml");
        fs::write(&config, text).expect("it can be written");
        // The kernel ends it with the test, however that ends.
        let mut child = command("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(binary())
            .arg("agent")
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        let port = text
            .split_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split_once('"'));
        Self {
            stderr: BufReader::new(child.stderr.take().expect("stderr is piped")),
            child,
            said: String::new(),
            config,
            port: port.expect("a port").0.parse().expect("a number"),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its tracer.
    pub fn tracer(&self) -> u32 {
        *crate::children(self.pid()).first().expect("it has one")
    }

    /// Waits until it says that; the line.
    pub fn until_says(&mut self, part: &str) -> String {
        loop {
            let mut line = String::new();
            let len = self.stderr.read_line(&mut line).expect("text");
            assert_ne!(len, 0, "the agent ended before it said `{part}`: {}", self.said);
            self.said.push_str(&line);
            if std::env::var_os("PYTRACE_SHOW").is_some() {
                print!("{line}");
            }
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Waits until it traces those processes, in whatever order.
    pub fn until_traced(&mut self, pids: &[u32]) {
        let mut left = pids.to_vec();
        while !left.is_empty() {
            let line = self.until_says("traces process ");
            let rest = line.split_once("traces process ").expect("it is there").1;
            let pid = rest.split(' ').next().and_then(|pid| pid.parse().ok());
            left.retain(|one| Some(*one) != pid);
        }
    }

    /// All it said so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Gives it another configuration.
    pub fn reload(&self, text: &str) {
        fs::write(&self.config, text).expect("it can be written");
        self.signal(Signal::SIGHUP);
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("it lives");
    }

    /// What it answers: status and body.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), body.to_owned())
    }

    /// Ends it as systemd does; it must succeed. All it said.
    pub fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        self.stderr.read_to_string(&mut self.said).expect("text");
        let status = self.child.wait().expect("it can be waited for");
        assert!(status.success(), "{status}: {}", self.said);
        std::mem::take(&mut self.said)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it lives");
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
