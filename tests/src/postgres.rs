//! A PostgreSQL server of a test's own.

use std::{
    fs,
    io::{BufReader, Lines},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Gid, Pid, User, chown},
};

use crate::{Folder, server::until_ready};

/// Where Debian has the programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// The server refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";
const READY: &str = "database system is ready to accept connections";
const STATEMENT: &str = "LOG:  statement: ";
const FAILED: &str = "STATEMENT:  ";
const ERROR: &str = "ERROR:  ";

/// Makes a cluster, runs a server on it, and removes it when the server is told to end. The shell is told by the kernel
/// when the test that started it is no more, however that came.
const SERVE: &str = r#"
trap 'kill -INT $server' TERM INT
"$1/initdb" -D "$2/data" -U pytrace -A trust -N -E UTF8 --locale=C.UTF-8 > /dev/null || exit 1
"$1/postgres" -D "$2/data" -p "$3" -k "$2" -c listen_addresses=127.0.0.1 \
    -c fsync=off -c log_statement=all -c log_line_prefix= &
server=$!
wait $server
wait $server
cd / && rm -rf "$2"
"#;

/// A server with one superuser, `pytrace`, who needs no password. Ended, and its data removed, when dropped.
pub struct Postgres {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    pub port: u16,
    _folder: Folder,
}

/// What the server wrote down.
#[derive(Debug, Default)]
pub struct Log {
    /// Statements as they came, in order.
    pub statements: Vec<String>,
    /// Messages of errors.
    pub errors: Vec<String>,
}

impl Postgres {
    /// Starts one and waits until it takes connections. `None`, and said so, where it is not installed.
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            println!("SKIPPED: PostgreSQL is not installed; `cargo xtask e2e` does that on Debian");
            return None;
        };
        let user = User::from_name(USER)
            .expect("the user list")
            .expect("the server's user");
        let folder = Folder::new("postgres");
        chown(
            folder.path(),
            Some(user.uid),
            Some(Gid::from_raw(user.gid.as_raw())),
        )
        .expect("root");
        let port = free_port();
        let mut child = crate::command("setpriv")
            .args([
                "--reuid",
                USER,
                "--regid",
                USER,
                "--clear-groups",
                "--pdeathsig",
                "TERM",
            ])
            .args(["sh", "-c", SERVE, "sh"])
            .arg(programs)
            .arg(folder.path())
            .arg(port.to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv starts");
        let log = until_ready(&mut child, READY);
        Some(Self {
            child,
            log,
            port,
            _folder: folder,
        })
    }

    /// Ends it; what it wrote down since it was started.
    pub fn end(mut self) -> Log {
        self.stop();
        let mut log = Log::default();
        for line in self.log.by_ref() {
            let line = line.expect("text");
            if let Some(statement) = line.strip_prefix(STATEMENT) {
                log.statements.push(statement.to_owned());
            } else if let Some(error) = line.strip_prefix(ERROR) {
                // The client gets the place apart from the message.
                let message = error.split(" at character ").next().unwrap_or(error);
                log.errors.push(message.to_owned());
            } else if let Some(statement) = line.strip_prefix(FAILED) {
                // What cannot be parsed is written down only as an error.
                if log.statements.last().is_none_or(|last| last != statement) {
                    log.statements.push(statement.to_owned());
                }
            }
        }
        self.child.wait().expect("the server can be waited for");
        log
    }

    fn stop(&self) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
        // Its log is read to the end, or it could not write the last of it.
        self.log.by_ref().for_each(drop);
        let _ = self.child.wait();
    }
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .map(|entry| entry.path())
        .max_by_key(|path| number(path))?;
    let programs = newest.join("bin");
    programs.join("initdb").exists().then_some(programs)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
