//! What the daemon says of code objects and threads, in the maps where the kernel half looks.

use aya::maps::{HashMap, MapData};
use tracer_common::activation::{UNWANTED, WANTED};
use tracer_common::filter::{CodeKey, THREAD_HIDDEN, THREAD_SHOWN, ThreadVerdict, thread_key};

use super::{Kernel, KernelError};
use crate::event::{judge::Court, runs::RunCourt};

/// The maps of verdicts.
pub struct Verdicts {
    codes: HashMap<MapData, CodeKey, u64>,
    threads: HashMap<MapData, u64, ThreadVerdict>,
    runs: HashMap<MapData, [u64; 2], u64>,
}

impl Verdicts {
    /// Takes the maps; once.
    pub fn new(kernel: &mut Kernel) -> Result<Self, KernelError> {
        Ok(Self {
            codes: HashMap::try_from(kernel.take_map("HIDDEN_CODE")?)?,
            threads: HashMap::try_from(kernel.take_map("JUDGED_THREADS")?)?,
            runs: HashMap::try_from(kernel.take_map("RUN_VERDICTS")?)?,
        })
    }
}

impl RunCourt for Verdicts {
    fn judge_run(&mut self, target: u16, key: u64, wanted: bool) {
        let key = [target.into(), key];
        let verdict = if wanted { WANTED } else { UNWANTED };
        // Most was said before. What the map cannot take is delivered and judged by the daemon.
        if self.runs.get(&key, 0).ok() != Some(verdict) {
            let _ = self.runs.insert(key, verdict, 0);
        }
    }
}

impl Court for Verdicts {
    fn thread_name(&mut self, target: u16, tid: u32) -> Option<[u64; 2]> {
        let [first, second, _] = self.threads.get(&thread_key(target.into(), tid), 0).ok()?;
        Some([first, second])
    }

    fn judge_thread(&mut self, target: u16, tid: u32, [first, second]: [u64; 2], shown: bool) {
        let verdict = if shown { THREAD_SHOWN } else { THREAD_HIDDEN };
        // Where the map cannot take it, the calls are delivered and judged by the daemon.
        let _ = self
            .threads
            .insert(thread_key(target.into(), tid), [first, second, verdict], 0);
    }

    fn hide_code(&mut self, key: CodeKey) {
        let _ = self.codes.insert(key, 0, 0);
    }

    fn forget(&mut self, codes: &[CodeKey], threads: &[(u16, u32)]) {
        for key in codes {
            let _ = self.codes.remove(key);
        }
        for (target, tid) in threads {
            let _ = self.threads.remove(&thread_key((*target).into(), *tid));
        }
    }
}
