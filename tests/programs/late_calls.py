"""Imports an extension module when told to, and calls it until the end."""
import sys

from truth import ready

ready()
was_there = "zlib" in sys.modules
import zlib

print("old" if was_there else "new")
sys.stdout.flush()
stop = []


def wait():
    sys.stdin.readline()
    stop.append(1)


import threading

threading.Thread(target=wait).start()
while not stop:
    zlib.crc32(b"later")
