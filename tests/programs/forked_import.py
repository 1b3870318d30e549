"""A forked child imports a module that its parent never does, and calls a function of it."""
import os
import sys

pid = os.fork()
if pid == 0:
    import mmap

    for n in range(5):
        mmap.mmap(-1, 4096 * (n + 1)).close()
    os._exit(0)
status = os.waitpid(pid, 0)[1]
sys.stdout.write("%d %d\n" % (status, "mmap" in sys.modules))
