//! The table of effects.
//!
//! The names are those that CPython 2.7 and 3.6 to 3.13 give (`tests/effect_names.rs` asks the interpreters);
//! argument names and positions are from the signatures in `Modules/clinic/*.c.h` and the
//! documentation, v3.11.7.

use super::{Effect, From, Group, TargetPart};

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
    inner("thread", "threads and locks"),
    inner("import", "modules loaded"),
    inner(
        "code",
        "code compiled, executed or hooked, and C functions called by ctypes",
    ),
    inner("memory", "containers changed in place, and the garbage collector"),
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

const fn call(names: &'static [&'static str], effect: &'static str, target: &'static [TargetPart]) -> Effect {
    Effect {
        names,
        effect,
        leaf: false,
        target,
    }
}

/// [`Effect::leaf`].
const fn leaf(names: &'static [&'static str], effect: &'static str) -> Effect {
    Effect {
        names,
        effect,
        leaf: true,
        target: NONE,
    }
}

type Target = &'static [TargetPart];

const NONE: Target = &[];
const ADDRESS: Target = &[arg("address", 0, "")];
const CAFILE: Target = &[arg("path", 0, "cafile")];
const CERTIFICATE: Target = &[arg("path", 0, "certfile")];
const COMMAND: Target = &[arg("command", 0, "command")];
const COPIED: Target = &[arg("fd", 0, "src"), arg("to_fd", 1, "dst")];
const DATABASE: Target = &[arg("path", 0, "database")];
const DATABASE_POSITIONAL: Target = &[arg("path", 0, "")];
const ENV: Target = &[arg("name", 0, "")];
const FD: Target = &[arg("fd", 0, "fd")];
const FD_POSITIONAL: Target = &[arg("fd", 0, "")];
const FD_RESULT: Target = &[result("fd")];
const FD_TO_RESULT: Target = &[arg("fd", 0, ""), result("to_fd")];
const FILE: Target = &[arg("path", 0, "file")];
const FORK_EXEC: Target = &[arg("argv", 0, ""), arg("path", 1, ""), result("pid")];
const HOST: Target = &[arg("host", 0, "host"), arg("port", 1, "port")];
const HOST_POSITIONAL: Target = &[arg("host", 0, "")];
const MAPPED: Target = &[arg("fd", 0, "fileno")];
const MEMFD: Target = &[arg("path", 0, "name"), result("fd")];
const MODULE: Target = &[arg("module", 0, "name")];
const MOVED: Target = &[arg("path", 0, "src"), arg("to_path", 1, "dst")];
const NAME: Target = &[arg("path", 0, "name")];
const OPENED: Target = &[arg("path", 0, "path"), result("fd")];
const PATH: Target = &[arg("path", 0, "path")];
const PATH_POSITIONAL: Target = &[arg("path", 0, "")];
const PEER: Target = &[arg("peer", 0, "")];
const PGID: Target = &[arg("pgid", 0, "")];
const PID: Target = &[arg("pid", 0, "pid")];
const PID_RESULT: Target = &[result("pid")];
const SENDFILE: Target = &[arg("to_fd", 0, "out_fd"), arg("fd", 1, "in_fd")];
const SENDMSG: Target = &[arg("peer", 3, "")];
const SOURCE_FILE: Target = &[arg("path", 1, "filename")];
const SPAWNED: Target = &[arg("path", 0, ""), arg("argv", 1, ""), result("pid")];
const SQL: Target = &[arg("sql", 0, "")];

/// Every C function with a known effect.
#[rustfmt::skip]
pub static EFFECTS: &[Effect] = &[
    // file: opening, reading and writing
    call(&["_io.open", "io.open"], "file.open", FILE),
    call(&["_io.open_code", "io.open_code"], "file.open", PATH),
    call(&["_io.FileIO.__init__"], "file.open", FILE),
    call(&["posix.open"], "file.open", OPENED),
    call(&["posix.read"], "file.read", FD_POSITIONAL),
    call(&["posix.readv"], "file.read", FD_POSITIONAL),
    call(&["posix.pread"], "file.read", FD_POSITIONAL),
    call(&["posix.preadv"], "file.read", FD_POSITIONAL),
    call(&["posix.write"], "file.write", FD_POSITIONAL),
    call(&["posix.writev"], "file.write", FD_POSITIONAL),
    call(&["posix.pwrite"], "file.write", FD_POSITIONAL),
    call(&["posix.pwritev"], "file.write", FD_POSITIONAL),
    call(&["_io.FileIO.read"], "file.read", NONE),
    call(&["_io.FileIO.readall"], "file.read", NONE),
    call(&["_io.FileIO.readinto"], "file.read", NONE),
    call(&["_io.FileIO.write"], "file.write", NONE),
    call(&["_io.BufferedReader.read"], "file.read", NONE),
    call(&["_io.BufferedReader.read1"], "file.read", NONE),
    call(&["_io.BufferedReader.readinto", "_io._BufferedIOBase.readinto"], "file.read", NONE),
    call(&["_io.BufferedReader.readinto1"], "file.read", NONE),
    call(&["_io.BufferedReader.readline"], "file.read", NONE),
    call(&["_io.BufferedReader.peek"], "file.read", NONE),
    call(&["_io.BufferedReader.__next__"], "file.read", NONE),
    call(&["_io.BufferedRandom.read"], "file.read", NONE),
    call(&["_io.BufferedRandom.read1"], "file.read", NONE),
    call(&["_io.BufferedRandom.readinto"], "file.read", NONE),
    call(&["_io.BufferedRandom.readinto1"], "file.read", NONE),
    call(&["_io.BufferedRandom.readline"], "file.read", NONE),
    call(&["_io.BufferedRandom.peek"], "file.read", NONE),
    call(&["_io.BufferedRandom.__next__"], "file.read", NONE),
    call(&["_io.BufferedWriter.write"], "file.write", NONE),
    call(&["_io.BufferedWriter.flush"], "file.write", NONE),
    call(&["_io.BufferedRandom.write"], "file.write", NONE),
    call(&["_io.BufferedRandom.flush"], "file.write", NONE),
    call(&["_io.BufferedRWPair.read"], "file.read", NONE),
    call(&["_io.BufferedRWPair.read1"], "file.read", NONE),
    call(&["_io.BufferedRWPair.readinto"], "file.read", NONE),
    call(&["_io.BufferedRWPair.write"], "file.write", NONE),
    call(&["_io.BufferedRWPair.flush"], "file.write", NONE),
    call(&["_io.TextIOWrapper.read"], "file.read", NONE),
    call(&["_io.TextIOWrapper.readline"], "file.read", NONE),
    call(&["_io.TextIOWrapper.__next__"], "file.read", NONE),
    call(&["_io.TextIOWrapper.write"], "file.write", NONE),
    call(&["_io.TextIOWrapper.flush"], "file.write", NONE),
    call(&["_io._IOBase.readlines"], "file.read", NONE),
    call(&["_io._IOBase.writelines"], "file.write", NONE),
    call(&["_io.FileIO.close"], "file.close", NONE),
    call(&["_io.FileIO.seek"], "file.seek", NONE),
    call(&["_io.FileIO.truncate"], "file.truncate", NONE),
    call(&["_io.BufferedReader.close"], "file.close", NONE),
    call(&["_io.BufferedReader.seek"], "file.seek", NONE),
    call(&["_io.BufferedWriter.close"], "file.close", NONE),
    call(&["_io.BufferedWriter.seek"], "file.seek", NONE),
    call(&["_io.BufferedWriter.truncate"], "file.truncate", NONE),
    call(&["_io.BufferedRandom.close"], "file.close", NONE),
    call(&["_io.BufferedRandom.seek"], "file.seek", NONE),
    call(&["_io.BufferedRandom.truncate"], "file.truncate", NONE),
    call(&["_io.TextIOWrapper.close"], "file.close", NONE),
    call(&["_io.TextIOWrapper.seek"], "file.seek", NONE),
    call(&["_io.TextIOWrapper.truncate"], "file.truncate", NONE),
    call(&["posix.close"], "file.close", FD),
    call(&["posix.closerange"], "file.close", NONE),
    call(&["posix.lseek"], "file.seek", FD_POSITIONAL),
    call(&["posix.ftruncate"], "file.truncate", FD_POSITIONAL),
    call(&["posix.truncate"], "file.truncate", PATH),
    call(&["posix.fsync"], "file.sync", FD),
    call(&["posix.fdatasync"], "file.sync", FD),
    leaf(&["posix.sync"], "file.sync"),
    call(&["posix.sendfile"], "file.copy", SENDFILE),
    call(&["posix.copy_file_range"], "file.copy", COPIED),
    call(&["posix.splice"], "file.copy", COPIED),
    call(&["posix.posix_fallocate"], "file.advise", FD_POSITIONAL),
    call(&["posix.posix_fadvise"], "file.advise", FD_POSITIONAL),
    call(&["mmap.mmap"], "file.map", MAPPED),
    call(&["mmap.mmap.write"], "file.write", NONE),
    call(&["mmap.mmap.write_byte"], "file.write", NONE),
    call(&["mmap.mmap.__setitem__"], "file.write", NONE),
    call(&["mmap.mmap.move"], "file.write", NONE),
    call(&["mmap.mmap.read"], "file.read", NONE),
    call(&["mmap.mmap.read_byte"], "file.read", NONE),
    call(&["mmap.mmap.readline"], "file.read", NONE),
    call(&["mmap.mmap.flush"], "file.sync", NONE),
    call(&["mmap.mmap.resize"], "file.truncate", NONE),
    call(&["mmap.mmap.close"], "file.unmap", NONE),
    call(&["_posixshmem.shm_open"], "file.open", PATH),
    call(&["_posixshmem.shm_unlink"], "file.unlink", PATH),

    // file: the directory tree
    call(&["posix.unlink"], "file.unlink", PATH),
    call(&["posix.remove"], "file.unlink", PATH),
    call(&["posix.rmdir"], "file.rmdir", PATH),
    call(&["posix.mkdir"], "file.mkdir", PATH),
    call(&["posix.rename"], "file.rename", MOVED),
    call(&["posix.replace"], "file.rename", MOVED),
    call(&["posix.link"], "file.link", MOVED),
    call(&["posix.symlink"], "file.link", MOVED),
    call(&["posix.mkfifo"], "file.mknod", PATH),
    call(&["posix.mknod"], "file.mknod", PATH),
    call(&["posix.chmod"], "file.chmod", PATH),
    call(&["posix.fchmod"], "file.chmod", FD),
    call(&["posix.chown"], "file.chown", PATH),
    call(&["posix.lchown"], "file.chown", PATH),
    call(&["posix.fchown"], "file.chown", FD),
    call(&["posix.utime"], "file.utime", PATH),
    call(&["posix.setxattr"], "file.setxattr", PATH),
    call(&["posix.removexattr"], "file.setxattr", PATH),
    call(&["posix.getxattr"], "file.getxattr", PATH),
    call(&["posix.listxattr"], "file.getxattr", PATH),
    call(&["posix.listdir"], "file.list", PATH),
    call(&["posix.scandir"], "file.list", PATH),
    call(&["posix.ScandirIterator.__next__"], "file.list", NONE),
    call(&["posix.stat"], "file.stat", PATH),
    call(&["posix.lstat"], "file.stat", PATH),
    call(&["posix.statvfs"], "file.stat", PATH),
    call(&["posix.access"], "file.stat", PATH),
    call(&["posix.fstat"], "file.stat", FD),
    call(&["posix.fstatvfs"], "file.stat", FD),
    call(&["posix.readlink"], "file.readlink", PATH),
    call(&["posix.pathconf"], "file.stat", PATH),

    // file: descriptors
    call(&["posix.pipe"], "file.pipe", NONE),
    call(&["posix.pipe2"], "file.pipe", NONE),
    call(&["posix.openpty"], "file.pipe", NONE),
    call(&["posix.dup"], "file.dup", FD_TO_RESULT),
    call(&["posix.dup2"], "file.dup", FD),
    call(&["posix.memfd_create"], "file.open", MEMFD),
    call(&["posix.eventfd"], "file.open", FD_RESULT),
    call(&["posix.eventfd_read"], "file.read", FD),
    call(&["posix.eventfd_write"], "file.write", FD),
    call(&["posix.set_blocking"], "file.control", FD_POSITIONAL),
    call(&["posix.set_inheritable"], "file.control", FD_POSITIONAL),
    call(&["fcntl.fcntl"], "file.control", FD_POSITIONAL),
    call(&["fcntl.ioctl"], "file.control", FD_POSITIONAL),
    call(&["fcntl.flock"], "file.lock", FD_POSITIONAL),
    call(&["fcntl.lockf"], "file.lock", FD_POSITIONAL),
    call(&["posix.lockf"], "file.lock", FD_POSITIONAL),

    // net
    call(&["_socket.socket.__init__"], "net.socket", NONE),
    call(&["_socket.socketpair"], "net.socket", NONE),
    call(&["_socket.socket.connect"], "net.connect", PEER),
    call(&["_socket.socket.connect_ex"], "net.connect", PEER),
    call(&["_socket.socket.bind"], "net.bind", ADDRESS),
    call(&["_socket.socket.listen"], "net.listen", NONE),
    call(&["_socket.socket._accept"], "net.accept", NONE),
    call(&["_socket.socket.send"], "net.send", NONE),
    call(&["_socket.socket.sendall"], "net.send", NONE),
    call(&["_socket.socket.sendmsg_afalg"], "net.send", NONE),
    call(&["_socket.socket.sendto"], "net.send", NONE),
    call(&["_socket.socket.sendmsg"], "net.send", SENDMSG),
    call(&["_socket.socket.recv"], "net.recv", NONE),
    call(&["_socket.socket.recv_into"], "net.recv", NONE),
    call(&["_socket.socket.recvfrom"], "net.recv", NONE),
    call(&["_socket.socket.recvfrom_into"], "net.recv", NONE),
    call(&["_socket.socket.recvmsg"], "net.recv", NONE),
    call(&["_socket.socket.recvmsg_into"], "net.recv", NONE),
    call(&["_socket.socket.shutdown"], "net.shutdown", NONE),
    call(&["_socket.socket.close"], "net.close", NONE),
    call(&["_socket.close"], "net.close", FD_POSITIONAL),
    call(&["_socket.socket.setsockopt"], "net.setsockopt", NONE),
    call(&["_socket.dup"], "net.socket", FD_POSITIONAL),
    call(&["_socket.getaddrinfo"], "net.resolve", HOST),
    call(&["_socket.gethostbyname"], "net.resolve", HOST_POSITIONAL),
    call(&["_socket.gethostbyname_ex"], "net.resolve", HOST_POSITIONAL),
    call(&["_socket.gethostbyaddr"], "net.resolve", HOST_POSITIONAL),
    call(&["_socket.getnameinfo"], "net.resolve", ADDRESS),
    call(&["_socket.sethostname"], "net.sethostname", HOST_POSITIONAL),
    call(&["_ssl._SSLSocket.do_handshake"], "net.handshake", NONE),
    call(&["_ssl._SSLSocket.read"], "net.recv", NONE),
    call(&["_ssl._SSLSocket.write"], "net.send", NONE),
    call(&["_ssl._SSLSocket.shutdown"], "net.shutdown", NONE),
    call(&["_ssl._SSLContext.load_cert_chain"], "file.read", CERTIFICATE),
    call(&["_ssl._SSLContext.load_verify_locations"], "file.read", CAFILE),

    // process
    call(&["posix.fork"], "process.fork", PID_RESULT),
    call(&["posix.forkpty"], "process.fork", NONE),
    call(&["posix.execv"], "process.exec", PATH),
    call(&["posix.execve"], "process.exec", PATH),
    call(&["posix.posix_spawn"], "process.spawn", SPAWNED),
    call(&["posix.posix_spawnp"], "process.spawn", SPAWNED),
    call(&["_posixsubprocess.fork_exec"], "process.spawn", FORK_EXEC),
    call(&["posix.system"], "process.spawn", COMMAND),
    call(&["posix.kill"], "process.kill", PID),
    call(&["posix.killpg"], "process.kill", PGID),
    call(&["_signal.pthread_kill"], "process.kill", NONE),
    call(&["_signal.raise_signal"], "process.kill", NONE),
    call(&["_signal.pidfd_send_signal"], "process.kill", NONE),
    call(&["posix.pidfd_open"], "process.open", PID),
    call(&["posix.waitpid"], "process.wait", PID),
    call(&["posix.wait4"], "process.wait", PID),
    call(&["posix.wait"], "process.wait", NONE),
    call(&["posix.wait3"], "process.wait", NONE),
    call(&["posix.waitid"], "process.wait", NONE),
    call(&["posix._exit"], "process.exit", NONE),
    call(&["posix.abort"], "process.exit", NONE),
    call(&["posix.setuid"], "process.setid", NONE),
    call(&["posix.seteuid"], "process.setid", NONE),
    call(&["posix.setreuid"], "process.setid", NONE),
    call(&["posix.setresuid"], "process.setid", NONE),
    call(&["posix.setgid"], "process.setid", NONE),
    call(&["posix.setegid"], "process.setid", NONE),
    call(&["posix.setregid"], "process.setid", NONE),
    call(&["posix.setresgid"], "process.setid", NONE),
    call(&["posix.setgroups"], "process.setid", NONE),
    call(&["posix.initgroups"], "process.setid", NONE),
    call(&["posix.setsid"], "process.setsid", NONE),
    call(&["posix.setpgrp"], "process.setsid", NONE),
    call(&["posix.setpgid"], "process.setsid", PID),
    call(&["posix.login_tty"], "process.setsid", NONE),
    call(&["posix.nice"], "process.sched", NONE),
    call(&["posix.setpriority"], "process.sched", NONE),
    call(&["posix.sched_setaffinity"], "process.sched", PID),
    call(&["posix.sched_setparam"], "process.sched", PID),
    call(&["posix.sched_setscheduler"], "process.sched", PID),
    call(&["posix.setns"], "process.namespace", NONE),
    call(&["posix.unshare"], "process.namespace", NONE),
    call(&["resource.setrlimit"], "process.limit", NONE),
    call(&["resource.prlimit"], "process.limit", PID),
    call(&["_signal.signal"], "process.signal", NONE),
    call(&["_signal.set_wakeup_fd"], "process.signal", NONE),
    call(&["_signal.pthread_sigmask"], "process.signal", NONE),
    call(&["_signal.siginterrupt"], "process.signal", NONE),
    call(&["_signal.alarm"], "process.alarm", NONE),
    call(&["_signal.setitimer"], "process.alarm", NONE),
    call(&["_multiprocessing.sem_unlink"], "process.semaphore", PATH_POSITIONAL),

    // console
    call(&["builtins.print"], "console.print", NONE),
    call(&["builtins.input"], "console.input", NONE),
    call(&["sys.displayhook"], "console.print", NONE),
    call(&["sys.excepthook"], "console.print", NONE),
    call(&["sys.unraisablehook"], "console.print", NONE),
    call(&["_thread._excepthook"], "console.print", NONE),
    call(&["termios.tcsetattr"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcsetwinsize"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcflush"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcflow"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcsendbreak"], "console.tty", FD_POSITIONAL),
    call(&["termios.tcdrain"], "console.tty", FD_POSITIONAL),
    call(&["posix.tcsetpgrp"], "console.tty", FD_POSITIONAL),
    call(&["syslog.syslog"], "console.syslog", NONE),
    call(&["syslog.openlog"], "console.syslog", NONE),

    // env
    call(&["posix.putenv"], "env.set", ENV),
    call(&["posix.unsetenv"], "env.unset", ENV),
    call(&["posix.chdir"], "env.chdir", PATH),
    call(&["posix.fchdir"], "env.chdir", FD),
    call(&["posix.chroot"], "env.chroot", PATH),
    call(&["posix.umask"], "env.umask", NONE),
    call(&["time.tzset"], "env.tzset", NONE),
    call(&["time.clock_settime"], "env.clock", NONE),
    call(&["time.clock_settime_ns"], "env.clock", NONE),

    // db
    call(&["_sqlite3.connect"], "db.connect", DATABASE),
    call(&["sqlite3.Connection.__init__"], "db.connect", DATABASE),
    call(&["sqlite3.Connection.execute"], "db.execute", SQL),
    call(&["sqlite3.Connection.executemany"], "db.execute", SQL),
    call(&["sqlite3.Connection.executescript"], "db.execute", SQL),
    call(&["sqlite3.Cursor.execute"], "db.execute", SQL),
    call(&["sqlite3.Cursor.executemany"], "db.execute", SQL),
    call(&["sqlite3.Cursor.executescript"], "db.execute", SQL),
    call(&["sqlite3.Cursor.fetchone"], "db.fetch", NONE),
    call(&["sqlite3.Cursor.fetchmany"], "db.fetch", NONE),
    call(&["sqlite3.Cursor.fetchall"], "db.fetch", NONE),
    call(&["sqlite3.Cursor.__next__"], "db.fetch", NONE),
    call(&["sqlite3.Connection.__call__"], "db.prepare", SQL),
    call(&["sqlite3.Connection.commit"], "db.commit", NONE),
    call(&["sqlite3.Connection.__exit__"], "db.commit", NONE),
    call(&["sqlite3.Connection.rollback"], "db.rollback", NONE),
    call(&["sqlite3.Connection.close"], "db.close", NONE),
    call(&["sqlite3.Connection.backup"], "db.backup", NONE),
    call(&["sqlite3.Connection.deserialize"], "db.load", NONE),
    call(&["sqlite3.Connection.serialize"], "db.dump", NONE),
    call(&["sqlite3.Connection.load_extension"], "db.extension", NONE),
    call(&["sqlite3.Connection.blobopen"], "db.open_blob", NONE),
    call(&["sqlite3.Blob.read"], "db.fetch", NONE),
    call(&["sqlite3.Blob.write"], "db.execute", NONE),
    call(&["sqlite3.Connection.create_function"], "db.define", NONE),
    call(&["sqlite3.Connection.create_aggregate"], "db.define", NONE),
    call(&["sqlite3.Connection.create_collation"], "db.define", NONE),
    call(&["sqlite3.Connection.create_window_function"], "db.define", NONE),
    call(&["_dbm.open"], "db.connect", DATABASE_POSITIONAL),

    // time
    call(&["time.sleep"], "time.sleep", NONE),
    leaf(&["time.time"], "time.read"),
    leaf(&["time.time_ns"], "time.read"),
    leaf(&["time.monotonic"], "time.read"),
    leaf(&["time.monotonic_ns"], "time.read"),
    leaf(&["time.perf_counter"], "time.read"),
    leaf(&["time.perf_counter_ns"], "time.read"),
    leaf(&["time.process_time"], "time.read"),
    leaf(&["time.process_time_ns"], "time.read"),
    leaf(&["time.thread_time"], "time.read"),
    leaf(&["time.thread_time_ns"], "time.read"),
    call(&["time.clock_gettime"], "time.read", NONE),
    call(&["time.clock_gettime_ns"], "time.read", NONE),
    call(&["time.localtime"], "time.read", NONE),
    call(&["time.gmtime"], "time.read", NONE),
    call(&["select.select"], "time.wait", NONE),
    call(&["select.poll.poll"], "time.wait", NONE),
    call(&["select.epoll.poll"], "time.wait", NONE),
    call(&["_signal.pause"], "time.wait", NONE),
    call(&["_signal.sigwait"], "time.wait", NONE),
    call(&["_signal.sigwaitinfo"], "time.wait", NONE),
    call(&["_signal.sigtimedwait"], "time.wait", NONE),

    // random
    leaf(&["_random.Random.random"], "random.read"),
    call(&["_random.Random.getrandbits"], "random.read", NONE),
    call(&["_random.Random.seed"], "random.seed", NONE),
    call(&["_random.Random.setstate"], "random.seed", NONE),
    call(&["posix.urandom"], "random.read", NONE),
    call(&["posix.getrandom"], "random.read", NONE),
    call(&["_ssl.RAND_bytes"], "random.read", NONE),

    // thread
    call(&["_thread.start_new_thread"], "thread.start", NONE),
    call(&["_thread.start_new"], "thread.start", NONE),
    call(&["_thread.start_joinable_thread"], "thread.start", NONE),
    call(&["_thread._ThreadHandle.join"], "thread.join", NONE),
    call(&["_thread.lock.acquire"], "thread.lock", NONE),
    call(&["_thread.lock.__enter__"], "thread.lock", NONE),
    call(&["_thread.lock.release"], "thread.unlock", NONE),
    call(&["_thread.lock.__exit__"], "thread.unlock", NONE),
    call(&["_thread.RLock.acquire"], "thread.lock", NONE),
    call(&["_thread.RLock.__enter__"], "thread.lock", NONE),
    call(&["_thread.RLock.release"], "thread.unlock", NONE),
    call(&["_thread.RLock.__exit__"], "thread.unlock", NONE),
    call(&["_thread.interrupt_main"], "thread.interrupt", NONE),

    // import
    call(&["builtins.__import__"], "import.import", MODULE),
    call(&["_imp.create_dynamic"], "import.load", NONE),
    call(&["_imp.exec_dynamic"], "import.exec", NONE),
    call(&["_imp.create_builtin"], "import.load", NONE),
    call(&["_imp.get_frozen_object"], "import.load", NONE),

    // code
    call(&["builtins.exec"], "code.exec", NONE),
    call(&["builtins.eval"], "code.exec", NONE),
    call(&["builtins.compile"], "code.compile", SOURCE_FILE),
    call(&["marshal.load"], "code.load", NONE),
    call(&["marshal.loads"], "code.load", NONE),
    call(&["sys.settrace"], "code.hook", NONE),
    call(&["sys.setprofile"], "code.hook", NONE),
    call(&["sys.addaudithook"], "code.hook", NONE),
    call(&["_ctypes.dlopen"], "code.dlopen", PATH_POSITIONAL),
    call(&["_ctypes.call_function"], "code.native", NONE),
    call(&["_ctypes.call_cdeclfunction"], "code.native", NONE),
    call(&["_ctypes.CFuncPtr.__call__", "_ctypes.PyCFuncPtr.__call__"], "code.native", NONE),

    // memory: objects that are changed in place, and the collector
    leaf(&["builtins.list.append"], "memory.append"),
    call(&["builtins.list.extend"], "memory.append", NONE),
    call(&["builtins.list.insert"], "memory.append", NONE),
    call(&["builtins.list.pop"], "memory.remove", NONE),
    call(&["builtins.list.remove"], "memory.remove", NONE),
    call(&["builtins.list.clear"], "memory.remove", NONE),
    call(&["builtins.list.sort"], "memory.order", NONE),
    call(&["builtins.list.reverse"], "memory.order", NONE),
    call(&["builtins.dict.update"], "memory.store", NONE),
    call(&["builtins.dict.setdefault"], "memory.store", NONE),
    call(&["builtins.dict.pop"], "memory.remove", NONE),
    call(&["builtins.dict.popitem"], "memory.remove", NONE),
    call(&["builtins.dict.clear"], "memory.remove", NONE),
    call(&["builtins.set.add"], "memory.append", NONE),
    call(&["builtins.set.update"], "memory.append", NONE),
    call(&["builtins.set.discard"], "memory.remove", NONE),
    call(&["builtins.set.remove"], "memory.remove", NONE),
    call(&["builtins.set.pop"], "memory.remove", NONE),
    call(&["builtins.set.clear"], "memory.remove", NONE),
    call(&["builtins.set.difference_update"], "memory.remove", NONE),
    call(&["builtins.set.intersection_update"], "memory.remove", NONE),
    call(&["builtins.set.symmetric_difference_update"], "memory.remove", NONE),
    call(&["builtins.bytearray.append"], "memory.append", NONE),
    call(&["builtins.bytearray.extend"], "memory.append", NONE),
    call(&["builtins.bytearray.insert"], "memory.append", NONE),
    call(&["builtins.bytearray.pop"], "memory.remove", NONE),
    call(&["builtins.bytearray.remove"], "memory.remove", NONE),
    call(&["builtins.bytearray.clear"], "memory.remove", NONE),
    call(&["collections.deque.append"], "memory.append", NONE),
    call(&["collections.deque.appendleft"], "memory.append", NONE),
    call(&["collections.deque.extend"], "memory.append", NONE),
    call(&["collections.deque.extendleft"], "memory.append", NONE),
    call(&["collections.deque.insert"], "memory.append", NONE),
    call(&["collections.deque.pop"], "memory.remove", NONE),
    call(&["collections.deque.popleft"], "memory.remove", NONE),
    call(&["collections.deque.remove"], "memory.remove", NONE),
    call(&["collections.deque.clear"], "memory.remove", NONE),
    call(&["builtins.setattr"], "memory.setattr", NONE),
    call(&["builtins.delattr"], "memory.setattr", NONE),
    call(&["gc.collect"], "memory.collect", NONE),
    leaf(&["gc.enable"], "memory.collector"),
    leaf(&["gc.disable"], "memory.collector"),
    call(&["gc.freeze"], "memory.collector", NONE),
    call(&["gc.unfreeze"], "memory.collector", NONE),
    call(&["gc.set_threshold"], "memory.collector", NONE),

    // What only Python 2 has; what it calls `__builtin__.f` and has in common is found as `builtins.f`.
    call(&["__builtin__.open"], "file.open", NAME),
    call(&["__builtin__.file.__init__"], "file.open", NAME),
    call(&["__builtin__.file.read"], "file.read", NONE),
    call(&["__builtin__.file.readinto"], "file.read", NONE),
    call(&["__builtin__.file.readline"], "file.read", NONE),
    call(&["__builtin__.file.readlines"], "file.read", NONE),
    call(&["__builtin__.file.next"], "file.read", NONE),
    call(&["__builtin__.file.write"], "file.write", NONE),
    call(&["__builtin__.file.writelines"], "file.write", NONE),
    call(&["__builtin__.file.flush"], "file.write", NONE),
    call(&["__builtin__.file.close"], "file.close", NONE),
    call(&["__builtin__.file.__exit__"], "file.close", NONE),
    call(&["__builtin__.file.seek"], "file.seek", NONE),
    call(&["__builtin__.file.truncate"], "file.truncate", NONE),
    call(&["posix.fdopen"], "file.open", FD_POSITIONAL),
    call(&["posix.tmpfile"], "file.open", NONE),
    call(&["posix.popen"], "process.spawn", COMMAND),
    call(&["_socket.socket.accept"], "net.accept", NONE),
    call(&["_multiprocessing.Connection.send"], "net.send", NONE),
    call(&["_multiprocessing.Connection.send_bytes"], "net.send", NONE),
    call(&["_multiprocessing.Connection.recv"], "net.recv", NONE),
    call(&["_multiprocessing.Connection.recv_bytes"], "net.recv", NONE),
    call(&["_multiprocessing.Connection.recv_bytes_into"], "net.recv", NONE),
    call(&["__builtin__.raw_input"], "console.input", NONE),
    call(&["__builtin__.execfile"], "code.exec", NAME),
    call(&["__builtin__.reload"], "import.import", NONE),
    call(&["imp.load_dynamic"], "import.load", NONE),
    call(&["imp.load_module"], "import.load", MODULE),
    call(&["imp.load_source"], "import.load", MODULE),
    call(&["imp.load_compiled"], "import.load", MODULE),
    call(&["imp.load_package"], "import.load", MODULE),
    call(&["thread.start_new_thread"], "thread.start", NONE),
    call(&["thread.lock.acquire"], "thread.lock", NONE),
    call(&["thread.lock.release"], "thread.unlock", NONE),
    call(&["thread.interrupt_main"], "thread.interrupt", NONE),
];
