"""Prints the C functions and methods of the modules through which Python acts, each by its own name."""
from __future__ import print_function

import importlib
import sys

MODULES = """
posix _socket _ssl select fcntl termios _signal signal time _thread thread _posixsubprocess _multiprocessing
resource mmap gc _imp imp marshal _pickle cPickle _sqlite3 sqlite3 _dbm syslog pwd grp spwd _random _queue _posixshmem
_interpreters _xxsubinterpreters _interpchannels _xxinterpchannels _interpqueues _remote_debugging _asyncio
_uuid readline faulthandler _tracemalloc atexit _heapq _bisect _io builtins __builtin__ collections array sys
_zstd zlib _bz2 _lzma _ctypes _locale _struct
""".split()
# Types whose methods change something; of other types only functions of the module are asked for.
MUTABLE = ["list", "dict", "set", "bytearray"]
ACTING_SLOTS = ["__init__", "__next__", "__setitem__", "__delitem__", "__iadd__", "__ior__"]
C_METHODS = ["method_descriptor", "classmethod_descriptor"]


def name_of(thing):
    return getattr(thing, "__qualname__", thing.__name__)


for module in MODULES:
    try:
        namespace = vars(importlib.import_module(module))
    except ImportError:
        continue
    for value in list(namespace.values()):
        if type(value).__name__ == "builtin_function_or_method" and value.__module__ is not None:
            print("%s.%s" % (value.__module__, name_of(value)))
        elif isinstance(value, type) and value.__module__.lstrip("_") == module.lstrip("_"):
            if module.strip("_").startswith("builtin") and value.__name__ not in MUTABLE:
                continue
            for key, method in vars(value).items():
                kind = type(method).__name__
                if kind in C_METHODS and not key.startswith("__") or kind == "wrapper_descriptor" and key in ACTING_SLOTS:
                    print("%s.%s.%s" % (value.__module__, name_of(value), key))
