"""What a service does: files, sockets, processes, the console, a database."""
from __future__ import print_function

import io
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile

from truth import done, ready

ready()
folder = tempfile.mkdtemp()
path = os.path.join(folder, "a.txt")
with io.open(path, "w") as f:
    f.write(u"hello")
fd = os.open(path, os.O_RDONLY)
os.read(fd, 100)
os.close(fd)
os.rename(path, path + ".b")
os.unlink(path + ".b")
os.rmdir(folder)
a, b = socket.socketpair()
a.send(b"ping")
b.recv(16)
a.close()
b.close()
db = sqlite3.connect(":memory:")
db.execute("create table t(a)")
db.cursor().execute("insert into t values (?)", (1,))
db.commit()
os.putenv("X", "1")
os.system("true")
subprocess.check_call(["/bin/true"])
print("printed", file=sys.stderr)
done()
