"""Writes to files in ways in which data leaves the process later than the call that has it, one act after the other.

`os.access` with the act's number announces an act and ends it; afterwards the program says what it did and how much
each file grew by it.
"""
import gc
import io
import json
import os
import sys
import tempfile

from truth import done, ready, say

IS_PYTHON2 = sys.version_info[0] == 2
folder = os.path.realpath(tempfile.mkdtemp(prefix="pytrace-late-data-"))
acts = []
# More than the buffers of a file hold.
MUCH = 3 * io.DEFAULT_BUFFER_SIZE


def act(what, path, do, *args, **more):
    """Does one thing. `calls`: how many calls the trace has to show for it; `named`: with the path."""
    before = os.stat(path).st_size
    os.access("/begin/%d" % len(acts), os.F_OK)
    result = do(*args)
    os.access("/end", os.F_OK)
    grown = os.stat(path).st_size - before
    acts.append(dict({"what": what, "path": path, "left": grown, "calls": 1, "named": True}, **more))
    return result


class Holder(object):
    """Has the only reference to a file."""

    def __init__(self, file):
        self.file = file

    def drop(self):
        self.file = None


def by_flush(kind, path, holder):
    act(kind + " flush", path, holder.file.flush)
    act(kind + " close after flush", path, holder.file.close)
    # Nothing is left to do.
    act(kind + " death after close", path, holder.drop, calls=0)


def by_close(kind, path, holder):
    act(kind + " close", path, holder.file.close)


def by_end_of_with(kind, path, holder):
    act(kind + " end of with", path, holder.file.__exit__, None, None, None)


def by_death(kind, path, holder):
    act(kind + " death", path, holder.drop)


def by_seek(kind, path, holder):
    act(kind + " seek", path, holder.file.seek, 0)
    holder.file.close()


def by_tell(kind, path, holder):
    act(kind + " tell", path, holder.file.tell)
    holder.file.close()


def by_truncate(kind, path, holder):
    act(kind + " truncate", path, holder.file.truncate)
    holder.file.close()


def by_detach(kind, path, holder):
    below = act(kind + " detach", path, holder.file.detach)
    below.close()


def by_read(kind, path, holder):
    act(kind + " read", path, holder.file.read, 1)
    holder.file.close()


def by_lines(kind, path, holder):
    lines = [u"a", u"b"] if kind == "text" else [b"a", b"b"]
    # Text files, binary ones and those in memory share this function, so it is not known which has a descriptor.
    act(kind + " writelines", path, holder.file.writelines, lines, named=False)
    holder.file.close()


ALL = [by_flush, by_close, by_end_of_with, by_death, by_seek, by_truncate, by_lines]
KINDS = [
    ("text", lambda path: io.open(path, "w"), u"\xe4", ALL + [by_tell, by_detach]),
    ("binary", lambda path: io.open(path, "wb"), b"b", ALL + [by_detach]),
    ("both", lambda path: io.open(path, "w+b"), b"r", ALL + [by_detach, by_read]),
]
if IS_PYTHON2:
    KINDS.append(("stream", lambda path: open(path, "w"), b"s", ALL))


def opened(kind, open_it, data):
    """A file into which was written, more and less than its buffer takes."""
    path = os.path.join(folder, "%s%d" % (kind, len(acts)))
    holder = Holder(open_it(path))
    act(kind + " write", path, holder.file.write, data)
    act(kind + " write that is too long for the buffer", path, holder.file.write, data * MUCH)
    act(kind + " write after that", path, holder.file.write, data)
    return path, holder


def in_a_cycle(kind, open_it, data):
    """A file that only the collector finds."""
    path, holder = opened(kind, open_it, data)
    holder.cycle = holder
    del holder
    act(kind + " collection", path, gc.collect)


def main():
    ready()
    gc.disable()
    for kind, open_it, data, ends in KINDS:
        for end in ends:
            path, holder = opened(kind, open_it, data)
            end(kind, path, holder)
        in_a_cycle(kind, open_it, data)
    for each in acts:
        say(json.dumps(each))
    for kind, open_it, data, _ in KINDS:
        path = os.path.join(folder, kind + "-exit")
        kept[kind] = open_it(path)
        kept[kind].write(data)
        say(json.dumps([path, kept[kind].fileno()]))
    os.access("/begin/exit", os.F_OK)
    done()


# Still open when the program ends.
kept = {}
main()
