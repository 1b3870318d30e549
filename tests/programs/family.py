"""Makes children of every kind; each opens a file of its own, by the name of what it is."""
import os
import subprocess
import sys

folder, other, forks = sys.argv[1], sys.argv[2], int(sys.argv[3])


def opens(name):
    os.close(os.open(os.path.join(folder, name), os.O_CREAT | os.O_WRONLY))


def forked(name):
    pid = os.fork()
    if pid == 0:
        opens(name)
        os._exit(0)
    return pid


if len(sys.argv) > 4:
    # Attached to: the test says when.
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
CODE = "import os, sys; os.close(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY))"
pids = [forked("forked-%d" % n) for n in range(forks)]
for pid in pids:
    os.waitpid(pid, 0)
subprocess.check_call([sys.executable, "-c", CODE, os.path.join(folder, "same")])
subprocess.check_call([other, "-c", CODE, os.path.join(folder, "other")])
subprocess.check_call("%s -c '%s' %s; true" % (other, CODE, os.path.join(folder, "shell")), shell=True)
pid = os.fork()
if pid == 0:
    os.waitpid(forked("grandchild"), 0)
    os._exit(0)
os.waitpid(pid, 0)
opens("parent")
