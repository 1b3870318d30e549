"""A value whose memory nobody can read, among others."""
import ctypes
import json
import mmap
import operator

from truth import done, ready, say
from truth_value import ident

NOBODY, READ_WRITE = 0, mmap.PROT_READ | mmap.PROT_WRITE


def main():
    area = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    view = memoryview((ctypes.c_char * 64).from_address(address.value))
    protect = ctypes.CDLL(None).mprotect
    values = [1, view, u"two"]
    ready()
    assert protect(address, ctypes.c_size_t(mmap.PAGESIZE), NOBODY) == 0
    operator.is_(values, view)
    assert protect(address, ctypes.c_size_t(mmap.PAGESIZE), READ_WRITE) == 0
    lost = {"unreadable": ident(view)}
    say(json.dumps([{"list": [1, lost, "two"], "id": ident(values)}, lost]))
    done()


main()
