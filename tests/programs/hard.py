"""What is hard to trace, by name: `hard.py CASE`. Prints what it does, the same each time, and goes on when it is told so."""
from __future__ import print_function

import ctypes
import errno
import mmap
import operator
import os
import resource
import signal
import sys
import tempfile
import threading
import time

import seccomp_filters

PYTHON2 = sys.version_info[0] == 2


def work():
    """Calls of every kind; what came of them."""
    read, write = os.pipe()
    os.write(write, b"what is written")
    found = [os.read(read, 100).decode(), sorted([3, 1, 2], key=lambda x: -x), operator.is_(read, write)]
    for end in read, write:
        os.close(end)
    with open(os.devnull, "w") as null:
        null.write("x")
    try:
        os.unlink("/nowhere/to/be/found")
    except OSError as e:
        found.append(e.errno)
    return found


def works():
    """Also what the process is to others: its files, and what of files is in its memory."""
    print(work())
    print(sorted(os.readlink("/proc/self/fd/%s" % fd).split(":")[0] for fd in "012"), len(os.listdir("/proc/self/fd")))
    with open("/proc/self/maps") as maps:
        mapped = [line.split() for line in maps]
    print(sorted(set((line[1], line[2], line[5]) for line in mapped if line[-1].startswith("/"))))
    with open("/proc/self/status") as status:
        print([line.split() for line in status if line.startswith(("SigB", "SigI", "SigC", "Shd", "NoNewPrivs", "TracerPid", "Cap"))])


def executes():
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-c", "print('another program')"])


def forks():
    statuses = []
    for n in range(100):
        child = os.fork()
        if child == 0:
            os._exit(n if work()[1] == [3, 2, 1] else 255)
        statuses.append(os.waitpid(child, 0)[1] >> 8)
    print(statuses)


def threads():
    done = []
    for n in range(50):
        group = [threading.Thread(target=lambda: done.append(work()[3])) for _ in range(20)]
        for one in group:
            one.start()
        for one in group:
            one.join()
    print(len(done), set(done))


def recurses():
    """C calls Python calls C, deeper than return probes nest (64), and deeper than Python goes."""

    def deep(n):
        return n if n == 0 else 1 + max(sorted([n], key=lambda n: deep(n - 1)), key=lambda n: n - n)

    def endless(n):
        return sorted([n], key=endless)

    print(deep(100))
    try:
        endless(1)
    except RuntimeError as e:
        print(type(e).__name__)


class Interrupted(Exception):
    pass


def is_signalled():
    """Handlers run, and some raise, inside of what is traced."""
    seen = [0, 0]

    def handler(number, frame):
        seen[0] += 1
        if seen[0] % 5 == 0:
            raise Interrupted(work()[1])

    signal.signal(signal.SIGALRM, handler)
    read, _ = os.pipe()
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    while seen[1] < 20:
        try:
            time.sleep(0.001)
            sorted(range(2000), key=lambda x: -x)
            os.read(read, 1)
        except Interrupted as e:
            assert e.args == ([3, 2, 1],), e.args
            seen[1] += 1
        except OSError:
            # Python 2 goes on without the rest of what was interrupted.
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("interrupted", seen[1])


def exits():
    print(work())
    sys.stdout.flush()
    os._exit(3)


def crashes():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(work())
    sys.stdout.flush()
    ctypes.string_at(8)


def is_confined():
    print(work(), os.getuid())


def is_contained():
    """Also in threads, in a child and in another program; and that the filter is there."""
    done = []
    group = [threading.Thread(target=lambda: done.append(work())) for _ in range(5)]
    for one in group:
        one.start()
    for one in group:
        one.join()
    child = os.fork()
    if child == 0:
        os._exit(work()[3])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(0)
    print(work(), done == [work()] * 5, os.waitpid(child, 0)[1] >> 8, ctypes.get_errno())
    executes()


def waits_for_pages():
    """What is written is on the disk only, so that whoever reads it waits; all programs on one processor."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.c_ulong(1)
    assert libc.sched_setaffinity(0, ctypes.sizeof(first), ctypes.byref(first)) == 0
    dont_need = 4
    null = os.open("/dev/null", os.O_WRONLY)
    written = 0
    for _ in range(200):
        with tempfile.TemporaryFile() as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            libc.posix_fadvise(file.fileno(), ctypes.c_long(0), ctypes.c_long(0), dont_need)
            page = mmap.mmap(file.fileno(), 4096)
        view = buffer(page) if PYTHON2 else memoryview(page)  # noqa: F821
        written += os.write(null, view)
        del view
        page.close()
    print(written)


# Before it is told to go on.
if sys.argv[1] == "killed_by_filter":
    seccomp_filters.strict(seccomp_filters.KILL)
elif sys.argv[1] == "refused_by_filter":
    seccomp_filters.strict(seccomp_filters.refuse(errno.ENOSYS))
elif sys.argv[1] == "in_docker":
    seccomp_filters.docker()
elif sys.argv[1] == "in_older_docker":
    seccomp_filters.docker(seccomp_filters.URETPROBE)
elif sys.argv[1] == "another_user":
    nobody = 65534
    os.setgroups([])
    os.setgid(nobody)
    os.setuid(nobody)

CASES = {
    "works": works,
    "executes": executes,
    "forks": forks,
    "threads": threads,
    "recurses": recurses,
    "signalled": is_signalled,
    "exits": exits,
    "crashes": crashes,
    "killed_by_filter": is_confined,
    "refused_by_filter": is_confined,
    "another_user": is_confined,
    "waits_for_pages": waits_for_pages,
    "in_docker": is_contained,
    "in_older_docker": is_contained,
}

print("ready")
sys.stdout.flush()
sys.stdin.readline()
CASES[sys.argv[1]]()
