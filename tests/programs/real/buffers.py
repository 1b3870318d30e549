"""Reads into buffers, whole and in part."""
import array
import io
import os
import socket
import sys
import tempfile

from journal import filled, note, report, returned
from truth import ready

NUMBERS = bytes(bytearray(range(250))) * 2


def read_file(path):
    with io.open(path, "rb", buffering=0) as raw, io.open(path, "rb") as buffered:
        for file in (raw, buffered):
            whole, end = bytearray(100), bytearray(1000)
            act = note(file.readinto, whole)
            count = file.readinto(whole)
            filled(act, count, whole)
            act = note(file.readinto, end)
            count = file.readinto(end)
            filled(act, count, end)
            act = note(file.readinto, end)
            count = file.readinto(end)
            filled(act, count, end)
        numbers = array.array("i", [0] * 10)
        raw.seek(0)
        # The bytes of an array are not looked at, so nothing is said of them.
        note(raw.readinto, numbers)
        raw.readinto(numbers)


def receive():
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    buffer = bytearray(b"before" * 4)
    view = memoryview(buffer)[4:]
    # The C type's methods: Python 2 has others around them.
    here = getattr(here, "_sock", here)
    for target, size in [(buffer, 0), (view, 7), (view, 0)]:
        there.send(b"a message")
        act = note(here.recv_into, target, size)
        count = here.recv_into(target, size)
        filled(act, count, target)
    there.send(b"another")
    act = note(here.recvfrom_into, view)
    result = here.recvfrom_into(view)
    filled(act, result[0], view)
    returned(act, result)
    there.send(b"")
    act = note(here.recv_into, view)
    count = here.recv_into(view)
    filled(act, count, view)
    here.setblocking(False)
    try:
        note(here.recv_into, view)
        here.recv_into(view)
    except (socket.error, OSError):
        pass


def read_descriptor(path):
    if not hasattr(os, "readinto"):
        return
    fd = os.open(path, os.O_RDONLY)
    buffer = bytearray(40)
    act = note(os.readinto, fd, buffer)
    count = os.readinto(fd, buffer)
    filled(act, count, buffer)
    os.close(fd)


with tempfile.NamedTemporaryFile() as file:
    file.write(NUMBERS)
    file.flush()
    ready()
    read_file(file.name)
    receive()
    read_descriptor(file.name)
    sys.stdout.flush()
    report()
