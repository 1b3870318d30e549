//! The tables of effects, one for each group, and one for drivers that others publish.
//!
//! The names are those that CPython 2.7 and 3.6 to 3.15 give (`tests/effect_names.rs` asks the interpreters).

mod code;
mod console;
mod db;
mod drivers;
mod env;
mod file;
mod gc;
mod imports;
mod memory;
mod net;
mod parts;
mod process;
mod random;
mod thread;
mod time;

use std::sync::LazyLock;

use super::{Effect, Group};

/// Every C function with a known effect, by group.
pub static EFFECTS: LazyLock<Vec<Effect>> = LazyLock::new(|| {
    let tables = [
        file::TABLE,
        net::TABLE,
        process::TABLE,
        console::TABLE,
        env::TABLE,
        db::TABLE,
        imports::TABLE,
        code::TABLE,
        thread::TABLE,
        time::TABLE,
        random::TABLE,
        memory::TABLE,
        gc::TABLE,
        DRIVERS,
    ];
    tables.concat()
});

/// Those of them that do not come with Python.
pub static DRIVERS: &[Effect] = drivers::TABLE;

/// What the first half of an effect's name means.
pub static GROUPS: &[Group] = &[
    world(
        "file",
        "files, directories and file descriptors, looked at or changed",
    ),
    world("net", "sockets, TLS and name resolution"),
    world("process", "processes, signals, identity and limits"),
    world("console", "what a person sees or types, and the system log"),
    world(
        "env",
        "what the whole process shares: environment, working directory, umask, clock",
    ),
    world("db", "databases"),
    inner("time", "clocks read and time waited"),
    inner("random", "random numbers drawn"),
    inner(
        "thread",
        "threads, interpreters and tasks, their locks and queues",
    ),
    inner("import", "modules loaded"),
    inner(
        "code",
        "code compiled, executed, loaded, hooked or looked at, and C functions called by ctypes",
    ),
    inner(
        "memory",
        "containers changed in place, and values turned into bytes and back; `memory.load_global` only by its name",
    ),
    inner("gc", "the garbage collector"),
    inner("exception", "exceptions raised, also those that are caught"),
];

const fn world(name: &'static str, doc: &'static str) -> Group {
    Group {
        name,
        world: true,
        doc,
    }
}

const fn inner(name: &'static str, doc: &'static str) -> Group {
    Group {
        name,
        world: false,
        doc,
    }
}
