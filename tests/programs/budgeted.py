"""A function is called as fast as can be, others now and then, which the program notes; a thread waits in a call all the time."""
from __future__ import print_function

import math
import os
import sys
import threading
import time

from rounds import rounds

clock = getattr(time, "monotonic", time.time)
HOT = 10000
did = []


def fabs(n):
    math.fabs(n)
    return ["math.fabs", n]


def ldexp(n):
    math.ldexp(n, 1)
    return ["math.ldexp", n]


def fmod(n):
    math.fmod(n, 7)
    return ["math.fmod", n]


def hypot(n):
    math.hypot(n, 1)
    return ["math.hypot", n]


def strerror(n):
    os.strerror(n)
    return ["posix.strerror", n]


def stat(n):
    try:
        os.stat(str(n))
    except OSError:
        pass
    return ["posix.stat", n]


def fails(function, *arguments):
    def act(n):
        try:
            function(str(n), *arguments)
        except OSError:
            pass
        return ["posix." + function.__name__, n]

    return act


RARE = [fabs, ldexp, fmod, hypot, strerror, stat]
ACTS = [fails(os.access, 0), fails(os.readlink), fails(os.listdir), fails(os.open, os.O_RDONLY)]


def hot(seconds, rare, kinds=RARE, call=os.getppid, arguments=()):
    """How often it was called."""
    calls, until, n = 0, clock() + seconds, 0
    while clock() < until:
        for _ in range(HOT):
            call(*arguments)
        calls += HOT
        rare.append(kinds[n % len(kinds)](n))
        n += 1
    return calls


def calm(seconds, rare):
    until, n = clock() + seconds, 0
    while clock() < until:
        os.getppid()
        rare.append(["posix.getppid", int(time.time() * 1e9)])
        time.sleep(0.002)


def waits(end):
    while os.read(end, 1) != b"!":
        pass


def busy():
    rare = []
    if sys.argv[2:] == ["acts"]:
        calls = hot(float(sys.argv[1]), rare, ACTS, os.stat, ("/",))
    else:
        calls = hot(float(sys.argv[1]), rare)
    did.append({"calls": calls, "rare": rare})


def main():
    end, other = os.pipe()
    thread = threading.Thread(target=waits, args=(end,))
    thread.start()
    if sys.argv[2:] == ["calm"]:
        rare = []
        hot(float(sys.argv[1]), [])
        calm(2 * float(sys.argv[1]), rare)
        did.append({"rare": rare})
    elif sys.argv[2:] == ["family"]:
        children = []
        for n in range(100):
            child = os.fork()
            if child == 0:
                stat(n)
                os._exit(0)
            os.waitpid(child, 0)
            children.append(["posix.stat", n])
        did.append({"rare": children})
    elif sys.argv[2:] == ["forks"]:
        child = os.fork()
        if child == 0:
            hot(float(sys.argv[1]), [])
            os._exit(0)
        hot(float(sys.argv[1]), [])
        os.waitpid(child, 0)
        did.append({"child": child})
    else:
        busy()
    os.write(other, b"!")
    thread.join()
    os.close(end)
    os.close(other)


rounds(main, did, each=True)
