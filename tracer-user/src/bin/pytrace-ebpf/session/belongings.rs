//! Tasks and spans of traced processes: looked for at the start, and again when modules have come.

use tracer_common::target::Target;
use tracer_user::{attribution, cpython::Interpreter, process::Process};

use super::Session;

/// What is known of a process's tasks and spans.
#[derive(Default)]
pub struct Belongings {
    /// How many modules it had when it was looked at last.
    modules: Option<u64>,
    /// A module that was looked for was there, but not executed yet.
    pending: bool,
    /// What cannot be told, and was said.
    said: Vec<&'static str>,
}

impl Belongings {
    /// Looks, unless nothing can have changed; true: `target` is another one now.
    pub fn look(&mut self, process: &Process, interpreter: &Interpreter, target: &mut Target) -> bool {
        let modules = attribution::module_count(process, interpreter);
        if modules == self.modules && !self.pending {
            return false;
        }
        // With the files that are mapped now.
        let Ok(process) = Process::open(process.pid()) else {
            return false;
        };
        let found = attribution::find(&process, interpreter, target);
        self.modules = modules;
        self.pending = found.pending;
        for why in found.refused {
            if !self.said.contains(&why) {
                log::warn!("process {}: {why}", process.pid());
                self.said.push(why);
            }
        }
        let changed = target.attribution != found.attribution;
        target.attribution = found.attribution;
        changed
    }
}

impl Session {
    /// Looks for tasks and spans in all processes that have imported something.
    pub fn look_for_belongings(&mut self) -> anyhow::Result<()> {
        for live in self.live.values_mut() {
            let Some(first) = live.parts.first() else { continue };
            let interpreter = &first.interpreter;
            if live.belongings.look(&live.process, interpreter, &mut live.target) {
                self.kernel.update_target(u32::from(live.index), live.target)?;
            }
        }
        Ok(())
    }
}
