//! `cargo xtask demo`: an order service that someone uses, ten seconds of tracing it, and the
//! proof that it goes on as if nothing had been.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const SERVICE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/orders.py");
const TRACE_SECONDS: &str = "10";
/// Longer than the trace; the generator is ended when the trace is over.
const LOAD_SECONDS: &str = "60";
const START_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Traces a demo service with `binary` and leaves the service running.
///
/// The interpreter is `$PYTHON` or else `/usr/bin/python3`. The service is ended if anything
/// fails, so that only a demo that worked leaves something behind.
pub fn run(binary: &Path) -> Result<()> {
    let root = fs::metadata("/proc/self")?.uid() == 0;
    if !root {
        // Asks for the password now, before anything runs that waits for nobody.
        succeed(Command::new("sudo").arg("-v"))?;
    }
    let mut service = Service::start()?;
    let shown = show(binary, root, &mut service);
    if shown.is_err() {
        service.stop();
    }
    shown
}

fn show(binary: &Path, root: bool, service: &mut Service) -> Result<()> {
    let (pid, port) = (service.process.id(), service.port);
    service.answers().context("before tracing")?;
    println!("An order service runs: pid {pid}, http://127.0.0.1:{port}; someone places orders.");
    println!(
        "$ {}{} --pid {pid} --duration {TRACE_SECONDS}\n",
        if root { "" } else { "sudo " },
        binary.display()
    );

    let mut load = python()
        .args([SERVICE, "--load", &format!("http://127.0.0.1:{port}")])
        .args(["--seconds", LOAD_SECONDS])
        .stdin(Stdio::null())
        .spawn()
        .context("cannot start the load generator")?;
    let traced = succeed(&mut trace(binary, root, pid));
    end(&mut load);
    traced?;

    let health = service.answers().context("after tracing")?;
    println!("\nThe tracer is gone, the service runs on unharmed: GET /health says {health}");
    println!("Trace it yourself, or stop it: kill {pid} (it ends after 10 idle minutes anyway)");
    Ok(())
}

fn python() -> Command {
    Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "/usr/bin/python3".into()))
}

fn trace(binary: &Path, root: bool, pid: u32) -> Command {
    let mut command = if root {
        Command::new(binary)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(binary);
        sudo
    };
    command.args(["--pid", &pid.to_string(), "--duration", TRACE_SECONDS]);
    command
}

/// Runs a command on our own terminal.
fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// Ends a child of ours and waits for it. That it is gone already is no error.
fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

struct Service {
    process: Child,
    port: u16,
}

impl Service {
    /// Starts the service in a process group of its own, so that Ctrl-C here does not reach it.
    ///
    /// Its output goes to a file and not to a pipe: when we are gone, nobody reads a pipe, and
    /// writing to it would end the service. The file loses its name once the service is ready.
    fn start() -> Result<Self> {
        let (path, output) = output_file()?;
        let started = Self::start_writing(&path, output);
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        started
    }

    fn start_writing(path: &Path, output: File) -> Result<Self> {
        let mut process = python()
            .arg(SERVICE)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .context("cannot start the order service (set PYTHON to another interpreter?)")?;
        match wait_ready(&mut process, path) {
            Ok(port) => Ok(Self { process, port }),
            Err(error) => {
                end(&mut process);
                Err(error)
            }
        }
    }

    /// Ends the service by SIGTERM, on which it removes its files, or else the hard way.
    fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let asked = Instant::now();
        while asked.elapsed() < ANSWER_LIMIT && matches!(self.process.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(20));
        }
        end(&mut self.process);
    }

    /// What `GET /health` answers; an error unless the service runs and is well.
    fn answers(&mut self) -> Result<String> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the order service has ended: {status}");
        }
        let answer = get(self.port, "/health").context("the order service does not answer")?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.lines().next().unwrap_or_default();
        ensure!(
            status.contains(" 200 "),
            "the order service is not well: {status}"
        );
        Ok(body.to_owned())
    }
}

/// A new file of ours alone; `create_new` follows no link that someone else left there.
fn output_file() -> Result<(PathBuf, File)> {
    let name = format!("pytrace-ebpf-demo-{}.out", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    Ok((path, file))
}

/// Waits for the line `{"port": N, "pid": N}` and returns the port.
fn wait_ready(process: &mut Child, output: &Path) -> Result<u16> {
    let started = Instant::now();
    loop {
        let text = fs::read_to_string(output)?;
        if let Some(port) = ready_port(&text) {
            return Ok(port);
        }
        if let Some(status) = process.try_wait()? {
            bail!("the order service ended at its start ({status}): {text}");
        }
        ensure!(
            started.elapsed() < START_LIMIT,
            "the order service was not ready after {START_LIMIT:?}: {text}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn ready_port(text: &str) -> Option<u16> {
    let (line, _) = text.split_once('\n')?;
    let (_, rest) = line.split_once("\"port\": ")?;
    rest.split([',', '}']).next()?.parse().ok()
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ready_line_once_it_is_whole() {
        assert_eq!(ready_port("{\"port\": 8080, \"pid\": 7}\nsold 5\n"), Some(8080));
        assert_eq!(ready_port("{\"port\": 8080, \"pid\": 7}"), None);
        assert_eq!(ready_port("Traceback\n"), None);
    }
}
