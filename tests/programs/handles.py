"""Uses descriptors again and again, in two threads, and says what each was when it was used."""
import io
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


def write_unix(n, label):
    """Unix sockets: a path, an abstract name, a pair; streams and datagrams."""
    names = [os.path.join(folder, "%s%d.sock" % (label, n)), "\0pytrace-%d-%s%d" % (os.getpid(), label, n)]
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for name_of_server in names:
            data = ("%s unix %d %d %d" % (label, n, kind, len(name_of_server))).encode()
            server = socket.socket(socket.AF_UNIX, kind)
            server.bind(name_of_server)
            client = socket.socket(socket.AF_UNIX, kind)
            if kind == socket.SOCK_STREAM:
                server.listen(1)
            client.connect(name_of_server)
            used(data, client.fileno(), peer=name_of_server)
            client.send(data)
            if kind == socket.SOCK_STREAM:
                # The client is bound to nothing.
                accepted, _ = server.accept()
                used(data + b"!", accepted.fileno())
                accepted.sendall(data + b"!")
                accepted.close()
            client.close()
            server.close()
            if name_of_server[0] == "/":
                os.unlink(name_of_server)
    one, other = socket.socketpair()
    data = ("%s pair %d" % (label, n)).encode()
    used(data, one.fileno())
    one.send(data)
    one.close()
    other.close()


def write_datagram(n, label):
    """To whom it goes is said with each one; the socket has no peer."""
    data = ("%s datagram %d" % (label, n)).encode()
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    used(data, other.fileno(), peer=name(one.getsockname()))
    other.sendto(data, one.getsockname())
    data += b" flags"
    used(data, other.fileno(), peer=name(one.getsockname()))
    other.sendto(data, 0, one.getsockname())
    other.close()
    one.close()


def write_wrapped(n, label):
    """Through a buffer and a text file above it."""
    path = os.path.join(folder, "%swrapped%d" % (label, n))
    data = ("%s binary %d" % (label, n)).encode()
    with io.open(path, "wb") as file:
        used(data, file.fileno(), path=path)
        file.write(data)
    text = u"%s text %d" % (label, n)
    with io.open(path + "t", "w") as file:
        used(text, file.fileno(), path=path + "t")
        file.write(text)


def write_detached(n, label):
    """A socket gives its descriptor away, another object takes it."""
    data = ("%s detached %d" % (label, n)).encode()
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    # Python 2 has no `detach`: there it is a copy that goes on.
    fd = client.detach() if hasattr(client, "detach") else os.dup(client.fileno())
    used(data, fd, peer=name(server.getsockname()))
    os.write(fd, data)
    os.close(fd)
    server.close()
    client.close()


def work(label):
    for n in range(20):
        write_file(n, label)
        with_lock(write_socket, n, label)
        with_lock(write_detached, n, label)
        write_unix(n, label)
        write_datagram(n, label)
        write_wrapped(n, label)


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
