//! What `pytrace-ebpf profile` says of a program.

use std::{collections::BTreeMap, fs};

use crate::{Attached, Folder, Program};

/// A profile in the making.
pub struct Profiler {
    tool: Attached,
    folder: Folder,
}

/// One that is made.
pub struct Profile {
    /// Frames, outermost first, and microseconds.
    pub stacks: Vec<(Vec<String>, u64)>,
    /// What the tool said.
    pub said: String,
}

impl Profiler {
    /// Attaches to a program.
    pub fn attach(program: &Program, args: &[&str]) -> Self {
        let folder = Folder::new("profile");
        let output = folder.text("profile.folded");
        let pid = program.pid().to_string();
        let command = ["profile", "--pid", &pid, "-o", &output];
        Self {
            tool: Attached::command(&[&command[..], args].concat(), 1),
            folder,
        }
    }

    /// Ends it as Ctrl-C does.
    pub fn stop(self) -> Profile {
        let said = self.tool.stop();
        Profile::read(&self.folder, said)
    }

    /// It ends with the program.
    pub fn wait(self) -> Profile {
        let said = self.tool.wait();
        Profile::read(&self.folder, said)
    }
}

impl Profile {
    fn read(folder: &Folder, said: String) -> Self {
        let text = fs::read_to_string(folder.file("profile.folded")).expect("a profile");
        Self {
            stacks: folded(&text),
            said,
        }
    }

    /// Microseconds of all stacks.
    pub fn total(&self) -> u64 {
        self.stacks.iter().map(|(_, time)| time).sum()
    }

    /// Microseconds in which that function was running, or what it called.
    pub fn time_in(&self, function: &str) -> u64 {
        let with = self.stacks.iter().filter(|(frames, _)| {
            let mut names = frames.iter().map(|frame| name(frame));
            names.any(|name| name == function)
        });
        with.map(|(_, time)| time).sum()
    }

    /// The share of each of these functions in the time of all of them, in percent.
    pub fn shares<'f>(&self, functions: &[&'f str]) -> BTreeMap<&'f str, f64> {
        shares(
            functions
                .iter()
                .map(|function| (*function, self.time_in(function) as f64)),
        )
    }
}

/// Folded stacks: `frame;frame number`.
pub fn folded(text: &str) -> Vec<(Vec<String>, u64)> {
    let stack = |line: &str| {
        let (frames, number) = line.rsplit_once(' ').expect("a stack and a number");
        let frames = frames.split(';').map(str::to_owned).collect();
        (frames, number.parse().expect("a number"))
    };
    text.lines().map(stack).collect()
}

/// The function of a frame as folded stacks have it.
pub fn name(frame: &str) -> &str {
    let function = frame.split(" (").next().unwrap_or(frame);
    // From 3.11 on with the names around it.
    function.rsplit(['.']).next().unwrap_or(function)
}

/// Of each the share in the sum, in percent.
pub fn shares<'f>(parts: impl IntoIterator<Item = (&'f str, f64)>) -> BTreeMap<&'f str, f64> {
    let parts: BTreeMap<&str, f64> = parts.into_iter().collect();
    let sum: f64 = parts.values().sum();
    parts
        .into_iter()
        .map(|(name, part)| (name, 100.0 * part / sum))
        .collect()
}
