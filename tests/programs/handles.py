"""Uses descriptors again and again, in two threads, and says what each was when it was used."""
import json
import os
import shutil
import socket
import tempfile
import threading

from truth import done, ready, say
from truth_value import encode

uses = []
folder = os.path.realpath(tempfile.mkdtemp(prefix="pytrace-handles-"))
# Open before anything is traced.
early = open(os.path.join(folder, "early"), "wb")
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
listener.bind(("127.0.0.1", 0))
listener.listen(5)
early_client = socket.create_connection(listener.getsockname())
early_server, _ = listener.accept()


def name(address):
    return "%s:%d" % address[:2]


def used(data, fd, **target):
    """What a call that has `data` among its arguments is about to be made on."""
    uses.append({"data": encode(data), "target": dict(target, fd=fd)})


def write_file(n, label):
    path = os.path.join(folder, "%s%d" % (label, n))
    data = ("%s %d" % (label, n)).encode()
    with open(path, "wb", 0) as file:
        used(data, file.fileno(), path=path)
        file.write(data)
    data += b" again"
    # The same number again, for another file.
    fd = os.open(path + "x", os.O_RDWR | os.O_CREAT, 0o600)
    used(data, fd, path=path + "x")
    os.write(fd, data)
    # Another file under the same number.
    other = os.open(path + "y", os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(other, fd)
    used(data + b"!", fd, path=path + "y")
    os.write(fd, data + b"!")
    os.close(other)
    os.close(fd)


def write_socket(n, label):
    data = ("%s socket %d" % (label, n)).encode()
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    used(data, client.fileno(), peer=name(client.getpeername()))
    client.send(data)
    data += b" back"
    used(data, server.fileno(), peer=name(server.getpeername()))
    server.sendall(data)
    client.close()
    server.close()


def work(label):
    for n in range(20):
        write_file(n, label)
        with_lock(write_socket, n, label)


lock = threading.Lock()


def with_lock(function, *args):
    # Two threads must not accept each other's connections.
    with lock:
        function(*args)


def main():
    ready()
    early_data = b"early file"
    used(early_data, early.fileno(), path=early.name)
    os.write(early.fileno(), early_data)
    early_data = b"early socket"
    used(early_data, early_client.fileno(), peer=name(early_client.getpeername()))
    early_client.send(early_data)
    threads = [threading.Thread(target=work, args=(label,)) for label in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for use in uses:
        say(json.dumps(use))
    done()
    shutil.rmtree(folder)


main()
