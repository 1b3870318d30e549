"""Works until its input ends, from the moment it is told to; then says how often it did what, by function and line."""
from __future__ import print_function

import json
import os
import select
import sys

null = os.open(os.devnull, os.O_WRONLY)
done = {"write": 0, "unlink": 0, "lstat": 0}


def save():
    os.write(null, b"order " + str(done["write"]).encode())
    done["write"] += 1


def drop():
    try:
        os.unlink("/nowhere/to/be/found")
    except OSError:
        done["unlink"] += 1


def look():
    os.lstat("/")
    done["lstat"] += 1


print("ready")
sys.stdout.flush()
sys.stdin.readline()
# Read from now on by no buffer that `select` does not see.
while not select.select([0], [], [], 0.005)[0]:
    for _ in range(3):
        save()
    drop()
    look()
print(json.dumps(done))
