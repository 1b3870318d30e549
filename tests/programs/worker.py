"""Does what it is told, a line each: works of a service that an agent looks at."""
import os
import sys


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def work(path, times):
    for n in range(times):
        os.close(os.open("%s-%d" % (path, n), os.O_CREAT | os.O_WRONLY))


def fork(path):
    """A child that works when it is let, by a pipe in the file system."""
    pid = os.fork()
    if pid:
        return say(str(pid))
    with open(path + "-gate") as gate:
        gate.read()
    work(path, 3)
    os._exit(0)


say("ready")
while True:
    line = sys.stdin.readline()
    if not line:
        break
    words = line.split()
    if words[0] == "work":
        work(words[1], int(words[2]))
        say("done")
    elif words[0] == "fork":
        fork(words[1])
    elif words[0] == "wait":
        os.waitpid(int(words[1]), 0)
        say("done")
    elif words[0] == "become":
        os.execv(sys.executable, [sys.executable] + sys.argv + words[1:])
    elif words[0] == "switch":
        import greenlet

        def other():
            work(words[1], 3)
            return greenlet.getcurrent().parent.switch("there")

        side = greenlet.greenlet(other)
        assert side.switch() == "there"
        work(words[1] + "-main", 3)
        say("done")
    elif words[0] == "fail":
        try:
            os.open(words[1], os.O_RDONLY)
        except OSError:
            say("done")
