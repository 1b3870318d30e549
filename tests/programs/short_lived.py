"""Uses files under all kinds of names, and ends at once. Says under which name the kernel knows each one that it writes to.

The argument is a folder of its own.
"""
import json
import os
import sys

os.chdir(sys.argv[1])
said = []


def write(fd):
    name = os.readlink("/proc/self/fd/%d" % fd)
    said.append([os.getpid(), fd, name.replace(" (deleted)", "")])
    os.write(fd, b"x")


def opened(path):
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


first = opened("first")
write(first)
os.link("first", "second")
second = opened("second")
write(second)
write(first)
os.rename("second", "third")
write(second)
os.mkdir("folder")
os.rename("third", "folder/fourth")
write(second)
os.unlink("first")
write(first)
write(os.pipe()[1])
os.mkfifo("fifo")
write(opened("fifo"))
long_name = "n" * 255
write(opened(long_name))
write(opened("na\xc3\xafve\n" if sys.version_info[0] == 2 else "na\u00efve\n"))
write(opened("/dev/null"))
if hasattr(os, "memfd_create"):
    write(os.memfd_create("memory"))
if hasattr(os, "eventfd"):
    number = os.eventfd(0)
    said.append([os.getpid(), number, os.readlink("/proc/self/fd/%d" % number)])
    os.write(number, b"12345678")
deep = "."
for n in range(40):
    deep += "/d%d" % n
    os.mkdir(deep)
write(opened(deep + "/deep"))
child = os.fork()
if child == 0:
    said = []
    write(second)
    write(opened("child"))
    with open("said", "w") as out:
        json.dump(said, out)
    os._exit(0)
os.waitpid(child, 0)
with open("said") as theirs:
    said += json.load(theirs)
print(json.dumps(said))
