"""Functions that take shares of processor time, which they measure themselves: `shares.py THREADS SECONDS`, of processor time for all
threads together. It starts its threads when it is told to; then prints the seconds of each function.

Threads that wait for the interpreter, and one that sleeps, are there meanwhile: they take no processor time."""
import json
import sys
import threading
import time

from truth import done, ready, say

if hasattr(time, "clock_gettime"):

    def thread_time():
        return time.clock_gettime(time.CLOCK_THREAD_CPUTIME_ID)

else:
    import ctypes

    class Timespec(ctypes.Structure):
        _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]

    clock_gettime = ctypes.CDLL(None).clock_gettime

    def thread_time():
        now = Timespec()
        clock_gettime(3, ctypes.byref(now))  # CLOCK_THREAD_CPUTIME_ID
        return now.seconds + now.nanoseconds * 1e-9


def large(count):
    return spin_large(count)


def spin_large(count):
    n = 0
    for i in range(6 * count):
        n += i & 3
    return n


def middle(count):
    """A generator's frame is the running one."""
    n = 0
    for value in numbers(count):
        n += value
    return n


def numbers(count):
    for part in range(3):
        n = 0
        for i in range(count):
            n += i & 3
        yield n


def small(count, depth=30):
    if depth:
        return small(count, depth - 1)
    n = 0
    for i in range(count):
        n += i & 3
    return n


# Each is at work for some milliseconds at a time: who stops the program to look at it disturbs few of its turns.
COUNT = 30000
FUNCTIONS = [large, middle, small]


def work(seconds, spent):
    spent.update((function.__name__, 0.0) for function in FUNCTIONS)
    n = 0
    while sum(spent.values()) < seconds:
        for function in FUNCTIONS:
            # Not in step with any clock.
            n = (n * 1103515245 + 12345) % 2147483648
            before = thread_time()
            function(COUNT + n % 20000)
            spent[function.__name__] += thread_time() - before


def sleep():
    while working:
        time.sleep(0.02)


threads, seconds = int(sys.argv[1]), float(sys.argv[2])
ready()
working = True
all_spent = [{} for n in range(threads)]
workers = [threading.Thread(target=work, args=(seconds / threads, spent)) for spent in all_spent]
sleeper = threading.Thread(target=sleep)
for thread in workers + [sleeper]:
    thread.start()
for thread in workers:
    thread.join()
working = False
sleeper.join()
total = {}
for spent in all_spent:
    for name in spent:
        total[name] = total.get(name, 0) + spent[name]
say(json.dumps(total))
done()
