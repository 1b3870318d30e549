"""Becomes a program that begins as few do: with signals ignored and blocked, limits, a mask for new files, another
priority, an open file, and, if the first argument says so, a closed standard input."""

import os
import resource
import signal
import sys

for name in ["SIGHUP", "SIGUSR1", "SIGCHLD", "SIGTSTP"]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
if sys.argv[1] == "pipe":
    # Python ignores it itself, and so would the program.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGALRM, signal.SIGTERM])
os.umask(0o27)
os.nice(3)
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 5 << 20))
os.chdir("/usr")
opened = os.open("/dev/zero", os.O_RDONLY)
os.dup2(opened, 7)
if hasattr(os, "set_inheritable"):
    os.set_inheritable(7, True)
if sys.argv[1] == "closed":
    os.close(0)
os.execv(sys.argv[2], sys.argv[2:])
