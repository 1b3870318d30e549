//! `--in` and `--thread`, checked.

use tracer_user::event::judge::Judge;

use crate::{Usage, cli::FilterArgs, target::Traced};

/// Who judges by these options. `stack`: frames that records have.
pub fn judge(filters: &FilterArgs, stack: u32) -> Result<Judge, Usage> {
    if stack == 0 && !filters.code.is_empty() {
        return Err(Usage(
            "--in looks at the Python frames, and --stack 0 asks for none; give --stack 1 or more".into(),
        ));
    }
    Ok(Judge::new(&filters.code, &filters.threads, stack)?)
}

/// The threads that are given by their ids.
pub fn thread_ids(filters: &FilterArgs) -> impl Iterator<Item = u32> {
    filters.threads.iter().filter_map(|thread| thread.parse().ok())
}

/// There is no such thread.
pub fn no_thread(tid: u32, why: &str) -> Usage {
    Usage(format!("--thread {tid}: {why}"))
}

/// Fails where a thread given by its id is in none of the processes.
pub fn check_threads(filters: &FilterArgs, traced: &[Traced]) -> Result<(), Usage> {
    let mut ids = thread_ids(filters).peekable();
    if ids.peek().is_none() {
        return Ok(());
    }
    let there: Vec<u32> = traced.iter().flat_map(|one| one.process.threads()).collect();
    match ids.find(|tid| !there.contains(tid)) {
        Some(tid) => Err(no_thread(
            tid,
            "no traced process has such a thread; `ls /proc/PID/task` lists them",
        )),
        None => Ok(()),
    }
}
