//! A terminal of its own, 80 by 24, that a test looks at: tmux.

use std::{
    io::Read as _,
    os::fd::AsFd as _,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Folder;

/// How long a test waits for what the screen is to show.
const PATIENCE: Duration = Duration::from_secs(60);

/// What runs in it prints this at its end, with its exit code and whether the terminal's modes are what they were.
const END: &str = "ENDED";

/// A terminal. It is ended, with what runs in it, when dropped.
pub struct Terminal {
    folder: Folder,
    /// Tells, by a line, whenever something was written on the screen.
    client: Child,
    changes: ChildStdout,
}

impl Terminal {
    /// Starts a shell command in it.
    pub fn start(command: &str) -> Self {
        let folder = Folder::new("terminal");
        // Begun when somebody looks, so that no change is missed.
        let script = format!(
            "read go; was=$(stty -g); {command}; code=$?; [ \"$was\" = \"$(stty -g)\" ] && modes=same || modes=changed; \
             echo {END} $code $modes; exec cat"
        );
        let size = ["-x", "80", "-y", "24"];
        let mut begin = tmux(&folder);
        begin
            .args(["-f", "/dev/null", "new-session", "-d"])
            .args(size)
            .arg(script);
        assert!(begin.status().expect("tmux starts").success());
        let mut client = tmux(&folder)
            .args(["-C", "attach"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tmux starts");
        let changes = client.stdout.take().expect("stdout is piped");
        let terminal = Self {
            folder,
            client,
            changes,
        };
        terminal.keys(&["Enter"]);
        terminal
    }

    /// Presses keys, by tmux's names.
    pub fn keys(&self, keys: &[&str]) {
        let mut send = tmux(&self.folder);
        assert!(
            send.arg("send-keys")
                .args(keys)
                .status()
                .expect("tmux runs")
                .success()
        );
    }

    /// What is on the screen.
    pub fn screen(&self) -> Vec<String> {
        let text = self.ask(&["capture-pane", "-p"]);
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits until the screen shows what is wanted; what it finds there.
    ///
    /// # Panics
    ///
    /// When it does not come.
    pub fn until<T>(&mut self, what: &str, mut find: impl FnMut(&[String]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if let Some(found) = find(&screen) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now()).as_millis();
            let left = PollTimeout::try_from(left).expect("a minute at most");
            let mut changes = [PollFd::new(self.changes.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut changes, left), Ok(1), "{what}: {screen:#?}");
            // Whatever tmux tells: the screen may be another one.
            let mut told = [0; 4096];
            let read = self.changes.read(&mut told).expect("tmux tells");
            assert!(read != 0, "{what}: the terminal is gone; {screen:#?}");
        }
    }

    /// Waits until a line of the screen has this in it; that line.
    pub fn line(&mut self, part: &str) -> String {
        self.until(part, |screen| {
            screen.iter().find(|line| line.contains(part)).cloned()
        })
    }

    /// Waits until the command has ended; its exit code. The terminal is as it was before.
    pub fn end(&mut self) -> i32 {
        let ended = self.line(END);
        let words: Vec<&str> = ended.split(' ').collect();
        assert_eq!(words[2], "same", "{ended}");
        let modes = "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{keypad_flag}";
        assert_eq!(self.ask(&["display-message", "-p", modes]).trim_end(), "0 1 0 0");
        words[1].parse().expect("an exit code")
    }

    /// The process that runs in front, by a part of its command line.
    pub fn process(&self, part: &str) -> u32 {
        let shell: u32 = self
            .ask(&["display-message", "-p", "#{pane_pid}"])
            .trim_end()
            .parse()
            .expect("a process id");
        let found = children(shell).into_iter().find(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).contains(part)
        });
        found.expect("it runs")
    }

    fn ask(&self, args: &[&str]) -> String {
        let output = tmux(&self.folder).args(args).output().expect("tmux runs");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tmux(&self.folder).arg("kill-server").status();
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn tmux(folder: &Folder) -> Command {
    let mut tmux = crate::command("tmux");
    tmux.args(["-S", &folder.text("socket")]).env_remove("TMUX");
    tmux
}

/// Processes that a process has started.
pub fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}
