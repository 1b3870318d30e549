"""Fifty threads at once that each call with their own number."""
import json
import threading
from operator import is_

from truth import done, ready, say, thread_id

THREADS, CALLS = 50, 400
ready()
ids = {}
all_there = threading.Event()


def work(number):
    ids[number] = thread_id()
    if len(ids) == THREADS:
        all_there.set()
    all_there.wait()
    for i in range(CALLS):
        is_(number, i)


threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say(json.dumps({str(n): tid for n, tid in ids.items()}))
done()
