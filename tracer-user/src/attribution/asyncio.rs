//! asyncio's tasks.
//!
//! `TaskObj` is private to Modules/_asynciomodule.c. From 3.14 on the module says where its fields are (`Py_AsyncioModuleDebugOffsets`,
//! in a section of its file); before, the functions that return them are asked, each of which must agree with its neighbour:
//! `task_fut_waiter`, `task_coro` and (3.8+) `task_name` lie in a row, as the kernel half reads them.

use object::{Object as _, ObjectSection as _};
use tracer_common::{attribution::Attribution, target::ABSENT};

use super::View;
use crate::{
    cpython::{ElfBytes, getter::first_field},
    process::ReadMemory,
};

/// The C half, and the Python module that all of it comes with.
pub(super) const MODULE: &str = "_asyncio";
pub(super) const TASKS: &str = "asyncio.tasks";

/// Where 3.14 and later say how the objects look.
const SECTION: &str = ".AsyncioDebug";
/// Words of it.
const WORDS: usize = 13;
mod word {
    pub const TASK_SIZE: usize = 0;
    pub const TASK_NAME: usize = 1;
    pub const TASK_CORO: usize = 5;
    pub const RUNNING_TASK: usize = 11;
}

const WITHOUT_C: &str = "asyncio tasks are not told: asyncio runs without its C half, `_asyncio`";
const TOO_OLD: &str = "asyncio tasks are not told: Python 3.6 keeps the running loop where it cannot be read";
const UNKNOWN: &str = "asyncio tasks are not told: they do not look as expected; please report this";

/// Where the tasks are.
pub(super) struct Tasks {
    task_type: u64,
    current_tasks: u64,
    coro: u16,
    name: u16,
}

impl Tasks {
    pub(super) fn tell(&self, attribution: &mut Attribution) {
        attribution.task_type = self.task_type;
        attribution.current_tasks = self.current_tasks;
        attribution.task_coro = self.coro;
        attribution.task_name = self.name;
    }
}

/// `None`: there is no asyncio (yet).
pub(super) fn find<M: ReadMemory>(view: &View<'_, M>) -> Result<Option<Tasks>, &'static str> {
    let offsets = &view.target.offsets;
    if !view.modules.contains_key(TASKS) && !view.modules.contains_key(MODULE) {
        return Ok(None);
    }
    if offsets.tstate_context == ABSENT {
        return Err(TOO_OLD);
    }
    if !view.modules.contains_key(MODULE) {
        return Err(WITHOUT_C);
    }
    // A module that has not been executed yet has nothing.
    let Some(task_type) = view.global(MODULE, "Task") else {
        return Ok(None);
    };
    if view.objects.tp_name(task_type).ok().as_deref() != Some("_asyncio.Task") {
        return Err(UNKNOWN);
    }
    let fields = if offsets.asyncio_running_task == ABSENT {
        by_getters(view, task_type)
    } else {
        by_section(view, task_type)
    };
    let (coro, name) = fields.ok_or(UNKNOWN)?;
    let current_tasks = if offsets.asyncio_running_task == ABSENT {
        match view.global(MODULE, "_current_tasks") {
            Some(dict) if view.objects.type_of(dict).ok() == Some(view.target.known.dict_type) => dict,
            _ => return Err(UNKNOWN),
        }
    } else {
        0
    };
    Ok(Some(Tasks {
        task_type,
        current_tasks,
        coro,
        name,
    }))
}

/// `task_coro` and `task_name` by what `Task._fut_waiter`, `Task._coro` and `Task.get_name` read.
fn by_getters<M: ReadMemory>(view: &View<'_, M>, task_type: u64) -> Option<(u16, u16)> {
    let objects = &view.objects;
    let user = &objects.layout.user;
    // A getter's definition is where a method's is; `PyGetSetDef` is name, get, set (Include/descrobject.h).
    let definition = |name: &str| {
        objects
            .user_field(view.class_attribute(task_type, name)?, user.d_method)
            .ok()
    };
    let getter = |name: &str| objects.memory.read_u64(definition(name)?.checked_add(8)?).ok();
    let waiter = first_field(objects.memory, getter("_fut_waiter")?)?;
    let coro = first_field(objects.memory, getter("_coro")?)?;
    if waiter.checked_add(8)? != coro {
        return None;
    }
    let Some(get_name) = definition("get_name") else {
        // 3.7
        return Some((coro, ABSENT));
    };
    let get_name = objects.user_field(get_name, user.ml_meth).ok()?;
    let name = first_field(objects.memory, get_name)?;
    (coro.checked_add(8)? == name).then_some((coro, name))
}

/// The same by the section of the module's file.
fn by_section<M: ReadMemory>(view: &View<'_, M>, task_type: u64) -> Option<(u16, u16)> {
    let objects = &view.objects;
    let user = &objects.layout.user;
    let get_name = view.class_attribute(task_type, "get_name")?;
    let get_name = objects.user_field(get_name, user.d_method).ok()?;
    let function = objects.user_field(get_name, user.ml_meth).ok()?;
    let (mapping, _) = view.process.locate(function)?;
    let file = ElfBytes::new(view.process.open_mapping(mapping).ok()?);
    let elf = file.elf()?;
    let data = elf.section_by_name(SECTION)?.data().ok()?;
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(data.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let basicsize = objects
        .field(task_type, objects.layout.offsets.tp_basicsize)
        .ok()?;
    let running_task = u64::from(objects.layout.offsets.asyncio_running_task);
    if words[word::TASK_SIZE] != basicsize || words[word::RUNNING_TASK] != running_task {
        return None;
    }
    let field = |n: usize| {
        u16::try_from(words[n])
            .ok()
            .filter(|at| u64::from(*at) + 8 <= basicsize)
    };
    let (coro, name) = (field(word::TASK_CORO)?, field(word::TASK_NAME)?);
    (coro + 8 == name).then_some((coro, name))
}
