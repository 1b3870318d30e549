"""Does one act after the other; prints the audit event that each raised, and the function that did it."""
from __future__ import print_function

import array, ctypes, fcntl, gc, marshal, mmap, os, pickle, resource, shutil, socket, sqlite3, sys, syslog
import tempfile, time, types

if not hasattr(sys, "addaudithook"):
    print("no audit events")
    raise SystemExit

import builtins

folder = tempfile.mkdtemp()
path = os.path.join(folder, "a")
raised = []
recording = False


def hook(event, args):
    if recording:
        raised.append(event)


sys.addaudithook(hook)


def act(event, function, do, *args):
    """The act by `function` raises `event`."""
    global recording
    del raised[:]
    recording = True
    try:
        result = do(*args)
    finally:
        recording = False
    if event not in raised and sys.version_info < (3, 11):
        # Not yet: the documentation that was read is that of 3.11.
        return result
    if event not in raised:
        raise SystemExit("%s did not raise %s, but %s" % (function, event, raised))
    print(event, function, sep="\t")
    return result


def f():
    pass


file = act("open", "_io.open", open, path, "w+b")
file.write(b"x" * 4096)
file.flush()
fd = act("open", "posix.open", os.open, path, os.O_RDWR)
act("fcntl.fcntl", "fcntl.fcntl", fcntl.fcntl, fd, fcntl.F_GETFD)
act("fcntl.flock", "fcntl.flock", fcntl.flock, fd, fcntl.LOCK_SH)
act("fcntl.lockf", "fcntl.lockf", fcntl.lockf, fd, fcntl.LOCK_UN)
act("mmap.__new__", "mmap.mmap", mmap.mmap, fd, 4096).close()
act("os.truncate", "posix.ftruncate", os.ftruncate, fd, 1)
act("os.chmod", "posix.chmod", os.chmod, path, 0o600)
act("os.utime", "posix.utime", os.utime, path, (1, 1))
act("os.link", "posix.link", os.link, path, path + "2")
act("os.symlink", "posix.symlink", os.symlink, path, path + "3")
act("os.rename", "posix.rename", os.rename, path + "2", path + "4")
act("os.listdir", "posix.listdir", os.listdir, folder)
act("os.scandir", "posix.scandir", os.scandir, folder).close()
act("os.remove", "posix.unlink", os.unlink, path + "4")
act("os.mkdir", "posix.mkdir", os.mkdir, path + "5")
act("os.rmdir", "posix.rmdir", os.rmdir, path + "5")
act("os.putenv", "posix.putenv", os.putenv, "PYTRACE_X", "1")
act("os.unsetenv", "posix.unsetenv", os.unsetenv, "PYTRACE_X")
act("os.system", "posix.system", os.system, "true")
act("os.kill", "posix.kill", os.kill, os.getpid(), 0)
limits = resource.getrlimit(resource.RLIMIT_CORE)
act("resource.setrlimit", "resource.setrlimit", resource.setrlimit, resource.RLIMIT_CORE, limits)
s = act("socket.__new__", "_socket.socket.__init__", socket.socket)
act("socket.bind", "_socket.socket.bind", s.bind, ("127.0.0.1", 0))
s.listen(1)
c = socket.socket()
act("socket.connect", "_socket.socket.connect", c.connect, s.getsockname())
act("socket.getaddrinfo", "_socket.getaddrinfo", socket.getaddrinfo, "127.0.0.1", 1)
act("socket.gethostname", "_socket.gethostname", socket.gethostname)
db = act("sqlite3.connect", "_sqlite3.connect", sqlite3.connect, ":memory:")
act("compile", "builtins.compile", compile, "1", "x", "eval")
act("exec", "builtins.exec", getattr(builtins, "exec"), "1")
act("marshal.loads", "marshal.loads", marshal.loads, marshal.dumps(1))
act("pickle.find_class", "_pickle.loads", pickle.loads, pickle.dumps(len))
act("array.__new__", "array.array", array.array, "i")
act("function.__new__", "builtins.function", types.FunctionType, f.__code__, {})
act("ctypes.addressof", "_ctypes.addressof", ctypes.addressof, ctypes.c_int())
act("ctypes.set_errno", "_ctypes.set_errno", ctypes.set_errno, 0)
act("ctypes.dlopen", "_ctypes.dlopen", ctypes.CDLL, None)
act("gc.get_objects", "gc.get_objects", gc.get_objects)
act("sys._getframe", "sys._getframe", sys._getframe)
act("sys.setprofile", "sys.setprofile", sys.setprofile, None)
act("syslog.closelog", "syslog.closelog", syslog.closelog)
for one in (s, c, db, file):
    one.close()
os.close(fd)
shutil.rmtree(folder)
