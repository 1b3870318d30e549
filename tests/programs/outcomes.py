"""None and exceptions of all makes."""
import os
import time
import zlib

from truth import call, ready, report


class Odd(object):
    def __index__(self):
        raise LookupError("odd", [1])


def main():
    ready()
    call([3].remove, 3)
    call([3].remove, 4)
    call({}.pop, "k")
    call({"k": None}.pop, "k")
    call([].pop)
    call(os.unlink, "/nope/nope")
    call(os.mkdir, "/proc")
    call(os.kill, "not a pid", 1)
    call(os.kill, Odd(), 1)
    call(os.read, 10**6, 1)
    call(zlib.decompress, b"junk")
    call(time.sleep, -1)
    call(time.sleep, 0)
    call(b"".decode, "no-such-codec")
    call(u"\ud800".encode)
    try:
        raise KeyError("outer")
    except KeyError:
        call([].pop)
    call({}.pop, ValueError("a key"))
    call({}.pop, (1, 2))
    call({}.pop, None)
    call({}.pop, KeyError("k"))
    report()


main()
