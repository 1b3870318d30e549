"""Imports extension modules and forks while SIGCONT is handled, then while it is blocked; prints how often it came."""

import os
import signal
import sys

from late import file_module

came = []
signal.signal(signal.SIGCONT, lambda number, frame: came.append(number))


def child():
    pid = os.fork()
    if pid == 0:
        del came[:]
        # A signal that came is handled before this ends.
        os.stat("/")
        os._exit(len(came))
    return os.waitpid(pid, 0)[1] >> 8


name = file_module()
forked = child()
print("handled %d, in a child %d" % (len(came), forked))
if hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
    sys.modules.pop(name)
    __import__(name)
    print("pending %d" % (signal.SIGCONT in signal.sigpending()))
else:
    print("pending 0")
sys.stdout.flush()
