//! rotel, a collector of OpenTelemetry, as the other end.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::Folder;

/// Prints where the package and the library of Python are.
const WHERE: &str = "import rotel, os, sysconfig; \
    print(os.path.dirname(rotel.__file__)); print(sysconfig.get_config_var('LIBDIR'))";

/// A collector that writes down what it gets. Ended when dropped.
pub struct Rotel {
    child: Child,
    pub grpc: u16,
    pub http: u16,
    written: PathBuf,
}

/// Two ports at which nobody listens.
pub fn free_ports() -> [u16; 2] {
    let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("its address").port())
}

impl Rotel {
    /// Starts it and waits until it listens. `None`, and said so, where it is not installed. What it writes is in the
    /// folder, which is to live longer.
    pub fn start(folder: &Folder, [grpc, http]: [u16; 2]) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some((program, libraries)) = installed() else {
            println!("SKIPPED: rotel is not installed; `cargo xtask e2e` does that");
            return None;
        };
        let written = folder.file(&format!("rotel-{}.txt", COUNT.fetch_add(1, Ordering::Relaxed)));
        let file = File::create(&written).expect("a file");
        let mut child = crate::command(program)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http}")])
            .args(["--exporter", "blackhole"])
            .args(["--debug-log", "logs", "--debug-log-verbosity", "detailed"])
            .env("LD_LIBRARY_PATH", libraries)
            .stderr(file.try_clone().expect("the same file"))
            .stdout(file)
            .spawn()
            .expect("it starts");
        for port in [grpc, http] {
            while TcpStream::connect(("127.0.0.1", port)).is_err() {
                let ended = child.try_wait().expect("its status");
                let said = || fs::read_to_string(&written).unwrap_or_default();
                assert!(ended.is_none(), "rotel ended: {}", said());
                std::thread::yield_now();
            }
        }
        Some(Self {
            child,
            grpc,
            http,
            written,
        })
    }

    /// What it wrote so far.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.written).expect("its file")).into_owned()
    }

    /// The `log.record.uid` of each record, in the order in which they came.
    pub fn uids(&self) -> Vec<String> {
        uids(&self.written())
    }

    /// Waits until it has so many different records.
    pub fn until(&self, records: usize) {
        while self.uids().iter().collect::<BTreeSet<_>>().len() < records {
            std::thread::yield_now();
        }
    }

    /// Ends it as an administrator does.
    pub fn stop(mut self) -> Vec<String> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("it is there");
        self.child.wait().expect("it ends");
        self.uids()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn uids(written: &str) -> Vec<String> {
    let of = |line: &str| {
        let value = line.trim().strip_prefix("-> log.record.uid: Str(")?;
        value.strip_suffix(')').map(str::to_owned)
    };
    written.lines().filter_map(of).collect()
}

/// Its program, and where the library is that it wants.
fn installed() -> Option<(PathBuf, String)> {
    let python = match std::env::var_os("PYTRACE_ROTEL") {
        Some(python) => PathBuf::from(python),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/rotel/bin/python"),
    };
    let output = crate::command(python).args(["-c", WHERE]).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let mut lines = said.lines();
    let program = Path::new(lines.next()?).join("rotel-agent");
    Some((program, lines.next()?.to_owned()))
}
