"""Greenlets that act in turns, in two threads; says which of them did what. `greenlets.py greenlet|gevent`; then as `rounds`."""
import math
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rounds import rounds

TURNS = 5
did = []


def act(n, current, main):
    math.fabs(n)
    own = current()
    known = None if own is main else [type(own).__module__ + "." + type(own).__qualname__, "0x%x" % id(own)]
    did.append([n, known])


def with_greenlet(first):
    from greenlet import getcurrent, greenlet

    class Named(greenlet):
        pass

    main = getcurrent()

    def work(start):
        for n in range(start, start + TURNS):
            act(n, getcurrent, main)
            main.switch()

    act(first, getcurrent, main)
    all_ = [(Named if k % 2 else greenlet)(work) for k in range(3)]
    for k, one in enumerate(all_):
        one.switch(first + 100 * (k + 1))
    for _ in range(TURNS):
        for one in all_:
            one.switch()
    act(first + 99, getcurrent, main)


def with_gevent(first):
    import gevent
    from greenlet import getcurrent

    main = getcurrent()

    def work(start):
        for n in range(start, start + TURNS):
            act(n, getcurrent, main)
            gevent.sleep(0)

    act(first, getcurrent, main)
    gevent.joinall([gevent.spawn(work, first + 100 * (k + 1)) for k in range(3)])


def main():
    if sys.argv[1] == "gevent":
        with_gevent(0)
        return
    thread = threading.Thread(target=with_greenlet, args=(1000,))
    thread.start()
    with_greenlet(0)
    thread.join()


# It is there before the tracer is.
main()
del did[:]
rounds(main, did)
