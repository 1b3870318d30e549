"""Fifty threads at once, each with its own number in its calls; every second call is inside another one."""
import json
import threading
from operator import is_

from truth import done, ready, say, thread_id

THREADS, CALLS = 50, 100
ready()
ids = {}
all_there = threading.Event()


def work(number):
    ids[number] = thread_id()
    if len(ids) == THREADS:
        all_there.set()
    all_there.wait()
    for i in range(CALLS):
        sorted([(number, i)], key=lambda pair: is_(*pair))


threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say(json.dumps({str(n): tid for n, tid in ids.items()}))
done()
