//! What table entries are made of. Argument names and positions are from the signatures in
//! `Modules/clinic/*.c.h` and the documentation, v3.11.7.

use super::super::{Effect, From, TargetPart};

const fn arg(key: &'static str, position: usize, name: &'static str) -> TargetPart {
    TargetPart {
        key,
        from: From::Argument { position, name },
    }
}

const fn result(key: &'static str) -> TargetPart {
    TargetPart {
        key,
        from: From::Result,
    }
}

pub const fn call(
    names: &'static [&'static str],
    effect: &'static str,
    target: &'static [TargetPart],
) -> Effect {
    Effect {
        names,
        effect,
        leaf: false,
        target,
        data: None,
        fills: None,
        since: None,
    }
}

/// [`Effect::leaf`].
pub const fn leaf(names: &'static [&'static str], effect: &'static str) -> Effect {
    Effect {
        names,
        effect,
        leaf: true,
        target: NONE,
        data: None,
        fills: None,
        since: None,
    }
}

pub type Target = &'static [TargetPart];

pub const NONE: Target = &[];
pub const ADDRESS: Target = &[arg("address", 0, "")];
pub const CAFILE: Target = &[arg("path", 0, "cafile")];
pub const CERTIFICATE: Target = &[arg("path", 0, "certfile")];
pub const COMMAND: Target = &[arg("command", 0, "command")];
pub const COPIED: Target = &[arg("fd", 0, "src"), arg("to_fd", 1, "dst")];
pub const DATABASE: Target = &[arg("path", 0, "database")];
pub const DATABASE_POSITIONAL: Target = &[arg("path", 0, "")];
pub const ENV: Target = &[arg("name", 0, "")];
pub const FD: Target = &[arg("fd", 0, "fd")];
pub const FD_POSITIONAL: Target = &[arg("fd", 0, "")];
pub const FD_RESULT: Target = &[result("fd")];
pub const FD_TO_RESULT: Target = &[arg("fd", 0, ""), result("to_fd")];
pub const FILE: Target = &[arg("path", 0, "file")];
pub const FORK_EXEC: Target = &[arg("argv", 0, ""), arg("path", 1, ""), result("pid")];
pub const HOST: Target = &[arg("host", 0, "host"), arg("port", 1, "port")];
pub const HOST_POSITIONAL: Target = &[arg("host", 0, "")];
pub const MAPPED: Target = &[arg("fd", 0, "fileno")];
pub const MEMFD: Target = &[arg("path", 0, "name"), result("fd")];
pub const MODULE: Target = &[arg("module", 0, "name")];
pub const MOVED: Target = &[arg("path", 0, "src"), arg("to_path", 1, "dst")];
pub const NAME: Target = &[arg("path", 0, "name")];
pub const OPENED: Target = &[arg("path", 0, "path"), result("fd")];
pub const PATH: Target = &[arg("path", 0, "path")];
pub const PATH_POSITIONAL: Target = &[arg("path", 0, "")];
pub const PEER: Target = &[arg("peer", 0, "")];
pub const PGID: Target = &[arg("pgid", 0, "")];
pub const PID: Target = &[arg("pid", 0, "pid")];
pub const PID_RESULT: Target = &[result("pid")];
pub const SENDFILE: Target = &[arg("to_fd", 0, "out_fd"), arg("fd", 1, "in_fd")];
pub const SENDMSG: Target = &[arg("peer", 3, "")];
pub const SOURCE_FILE: Target = &[arg("path", 1, "filename")];
pub const SPAWNED: Target = &[arg("path", 0, ""), arg("argv", 1, ""), result("pid")];
pub const SQL: Target = &[arg("sql", 0, "")];
pub const DSN: Target = &[arg("dsn", 0, "dsn")];
pub const CONNINFO: Target = &[arg("dsn", 0, "conninfo")];
pub const RPC: Target = &[arg("method", 1, "method"), arg("host", 2, "host")];
pub const RPC_FIRST: Target = &[arg("method", 0, "method")];
pub const SOURCE: Target = &[arg("path", 0, "source")];
pub const SQL_SECOND: Target = &[arg("sql", 1, "command")];
pub const QUERY: Target = &[arg("sql", 0, "query")];

/// The first argument is what is written or sent.
pub const DATA: From = From::Argument {
    position: 0,
    name: "",
};
/// The second argument is.
pub const DATA_SECOND: From = From::Argument {
    position: 1,
    name: "",
};
/// The result is what was read.
pub const GIVEN: From = From::Result;
