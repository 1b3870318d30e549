"""Imports an extension module again and again, and calls a function of it at once."""
import os
import sys

# The first of these that is a file here: which are built in differs.
NAMES = ["zlib", "_bz2", "bz2", "_json", "_csv", "_struct", "_heapq", "math"]


def file_module():
    for name in NAMES:
        was = sys.modules.pop(name, None)
        try:
            module = __import__(name)
        except ImportError:
            continue
        if hasattr(module, "__file__"):
            return name
        if was is not None:
            sys.modules[name] = was
    sys.exit("no module is a file")


def main():
    if sys.argv[1] == "once":
        was_there = "zlib" in sys.modules
        import zlib

        zlib.crc32(b"first")
        print("old" if was_there else "new")
        return
    name = file_module()
    os.write(1, (name + "\n").encode())
    for n in range(int(sys.argv[2])):
        sys.modules.pop(name, None)
        __import__(name)
        os.write(1, b"imported\n")


if __name__ == "__main__":
    main()
