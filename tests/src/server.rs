//! Servers that a test starts.

use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStderr},
};

/// Waits until a server says on its standard error that it is ready, and gives the rest of what it says.
pub fn until_ready(child: &mut Child, ready: &str) -> Lines<BufReader<ChildStderr>> {
    let mut log = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
    let mut said = Vec::new();
    loop {
        let line = log.next().unwrap_or_else(|| panic!("no server: {said:?}"));
        let line = line.expect("text");
        if line.contains(ready) {
            return log;
        }
        said.push(line);
    }
}
