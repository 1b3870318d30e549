"""Waits in a sleep, in a socket and for a lock, each from a function of its own; says how many seconds it was in each."""
import json
import socket
import threading
import time

from truth import done, ready, say

near, far = socket.socketpair()
lock = threading.Lock()
spent = {}


def sleeps():
    time.sleep(0.4)


def reads():
    near.recv(1)


def locks():
    lock.acquire()


def other_side():
    time.sleep(0.7)
    far.send(b"x")
    time.sleep(0.2)
    lock.release()


lock.acquire()
ready()
thread = threading.Thread(target=other_side)
thread.start()
for function in [sleeps, reads, locks]:
    before = time.time()
    function()
    spent[function.__name__] = time.time() - before
thread.join()
say(json.dumps(spent))
done()
