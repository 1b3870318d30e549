"""What a service does: files, sockets, processes, the console, a database."""
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile

print("ready", flush=True)
sys.stdin.readline()
folder = tempfile.mkdtemp()
path = os.path.join(folder, "a.txt")
with open(path, "w") as f:
    f.write("hello")
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
subprocess.run(["/bin/true"], check=True)
print("printed", file=sys.stderr)
print("done", flush=True)
sys.stdin.readline()
