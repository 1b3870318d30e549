//! What a process has besides threads that a call may belong to: greenlets, asyncio's tasks, OpenTelemetry's spans.
//!
//! Found is where they are kept; which of them runs, the kernel half looks up at each call (`tracer_common::encode`). What cannot be
//! told for certain is refused, with the reason.

mod asyncio;
mod greenlet;
mod opentelemetry;

use std::collections::HashMap;

use tracer_common::{
    attribution::Attribution,
    encode::{Memory, WINDOW_WORDS, WORDS},
    target::Target,
};

use crate::{
    cpython::{Interpreter, objects::Objects},
    process::{Process, ReadMemory, Snapshot},
};

/// Modules of a process that are looked for.
const MODULES: [&str; 7] = [
    greenlet::MODULE,
    asyncio::MODULE,
    asyncio::TASKS,
    opentelemetry::CONTEXT,
    opentelemetry::CONTEXTVARS,
    opentelemetry::SPAN,
    opentelemetry::PROPAGATION,
];
/// The longest of their names, and one character more.
const MAX_NAME: u64 = 64;

/// What was found in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// For the kernel half.
    pub attribution: Attribution,
    /// What is there, but cannot be told; a line each.
    pub refused: Vec<&'static str>,
    /// Something is there in part: a module that is being executed.
    pub pending: bool,
}

/// Looks for tasks and spans. `target` is what the kernel half knows of the process.
pub fn find(process: &Process, interpreter: &Interpreter, target: &Target) -> Found {
    let memory = Snapshot::new(process);
    let view = View {
        process,
        objects: interpreter.objects(&memory),
        target,
        modules: HashMap::new(),
    };
    let Some(modules) = view.modules() else {
        return Found::default();
    };
    let view = View { modules, ..view };
    let mut found = Found::default();
    match greenlet::find(&view) {
        Ok(Some(greenlets)) => greenlets.tell(&mut found.attribution),
        Ok(None) => found.pending |= view.modules.contains_key(greenlet::MODULE),
        Err(why) => found.refused.push(why),
    }
    match asyncio::find(&view) {
        Ok(Some(tasks)) => tasks.tell(&mut found.attribution),
        Ok(None) => found.pending |= view.modules.contains_key(asyncio::MODULE),
        Err(why) => found.refused.push(why),
    }
    match opentelemetry::find(&view) {
        Ok(Some(spans)) => spans.tell(&mut found.attribution),
        Ok(None) => found.pending |= view.modules.contains_key(opentelemetry::CONTEXT),
        Err(why) => found.refused.push(why),
    }
    found
}

/// How many modules a process has: what is found changes only with it.
pub fn module_count(process: &Process, interpreter: &Interpreter) -> Option<u64> {
    let objects = interpreter.objects(process);
    let modules = objects.user_field(objects.interp, objects.layout.user.interp_modules);
    objects.field(modules.ok()?, objects.layout.offsets.ma_used).ok()
}

/// A process as this room looks at it.
struct View<'a, M> {
    process: &'a Process,
    objects: Objects<'a, M>,
    target: &'a Target,
    /// The dicts of those of [`MODULES`] that are there.
    modules: HashMap<&'static str, u64>,
}

impl<M: ReadMemory> View<'_, M> {
    fn modules(&self) -> Option<HashMap<&'static str, u64>> {
        let Objects { layout, interp, .. } = self.objects;
        let modules = self.objects.user_field(interp, layout.user.interp_modules).ok()?;
        let mut found = HashMap::new();
        for (key, module) in self.objects.dict(modules).ok()? {
            let Ok(name) = self.objects.string(key, MAX_NAME) else {
                continue;
            };
            if let Some(known) = MODULES.iter().find(|known| **known == name)
                && self.objects.type_of(module).ok() == Some(self.target.known.module_type)
                && let Ok(dict) = self.objects.field(module, layout.offsets.md_dict)
            {
                found.insert(*known, dict);
            }
        }
        Some(found)
    }

    /// A global of a module that is there.
    fn global(&self, module: &str, name: &str) -> Option<u64> {
        self.objects.dict_get(*self.modules.get(module)?, name).ok()?
    }

    /// What a class has in its own dict under a name.
    fn class_attribute(&self, class: u64, name: &str) -> Option<u64> {
        let dict = self.objects.type_dict(class).ok()?;
        self.objects.dict_get(dict, name).ok()?
    }

    /// The `str` by which a Python function has a name; such strings are interned, and are the keys of instances' dicts too.
    fn name_in(&self, function: u64, name: &str) -> Option<u64> {
        let objects = &self.objects;
        if objects.type_of(function).ok()? != self.target.known.function_type {
            return None;
        }
        let code = objects.user_field(function, objects.layout.user.func_code).ok()?;
        let names = objects.field(code, objects.layout.offsets.co_names).ok()?;
        let names = objects.tuple(names, 1 << 12).ok()?;
        names
            .into_iter()
            .find(|key| objects.string(*key, MAX_NAME).is_ok_and(|key| key == name))
    }
}

/// Memory as the code that both halves share reads it, as far as this room needs it.
struct Shared<'a, M>(&'a M);

impl<M: ReadMemory> Memory for Shared<'_, M> {
    fn words<const N: usize>(&mut self, address: u64) -> Option<[u64; N]> {
        let mut words = [0; N];
        for (n, word) in words.iter_mut().enumerate() {
            *word = self.0.read_u64(address.checked_add(8 * n as u64)?).ok()?;
        }
        Some(words)
    }

    fn window<const N: usize>(&mut self, _: &mut [u64; WINDOW_WORDS], _: u64) -> bool {
        false
    }

    fn start(&mut self, _: &mut [u64; WINDOW_WORDS], _: u32, _: u64) -> bool {
        false
    }

    fn u32(&mut self, address: u64) -> Option<u32> {
        self.0.read_u32(address).ok()
    }

    fn u8(&mut self, address: u64) -> Option<u8> {
        self.0.read_u8(address).ok()
    }

    fn short_str(&mut self, _: u64) -> Option<[u64; 2]> {
        None
    }

    fn copy(&mut self, _: &mut [u64; WORDS], _: u32, _: u32, _: u64) -> bool {
        false
    }

    fn copy_str(&mut self, _: &mut [u64; WORDS], _: u32, _: u32, _: u64) -> u32 {
        0
    }
}
