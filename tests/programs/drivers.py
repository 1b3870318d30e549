"""Uses the drivers that are installed; prints which."""
from __future__ import print_function

import json
import os
import tempfile

from truth import done, ready, say

folder = tempfile.mkdtemp()
path = os.path.join(folder, "a")


def lxml(etree):
    root = etree.fromstring("<a b='1'/>")
    etree.ElementTree(root).write(path)
    etree.parse(path)


def numpy(numpy):
    numpy.array([1, 2, 3], dtype="u1").tofile(path)
    numpy.fromfile(path, dtype="u1")


def orjson(orjson):
    orjson.loads(orjson.dumps({"a": 1}))


def psycopg2(driver):
    refused(driver.connect, "host=127.0.0.1 port=1 user=u password=hunter2 connect_timeout=1")


def psycopg(driver):
    refused(driver.connect, "host=127.0.0.1 port=1 user=u password=hunter2 connect_timeout=1")


def hiredis(hiredis):
    hiredis.pack_command(("GET", "key"))
    reader = hiredis.Reader()
    reader.feed("+OK\r\n")
    reader.gets()


def bson(cbson):
    import bson

    bson.decode(bson.encode({"a": 1}))


def refused(connect, dsn):
    try:
        connect(dsn)
    except Exception:
        return
    raise AssertionError("somebody listens on port 1")


def uvloop(uvloop):
    import drivers_uvloop

    drivers_uvloop.use(uvloop)


WANTED = [
    ("lxml.etree", lxml),
    ("numpy", numpy),
    ("orjson", orjson),
    ("psycopg2", psycopg2),
    ("psycopg", psycopg),
    ("hiredis", hiredis),
    ("bson._cbson", bson),
    ("uvloop", uvloop),
]
have = []
for name, use in WANTED:
    try:
        module = __import__(name, fromlist=["*"])
    except ImportError:
        continue
    have.append((name, use, module))
ready()
for name, use, module in have:
    use(module)
    say(json.dumps(name))
done()
