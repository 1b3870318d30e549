"""An HTTPS server that says what it received and sent, byte for byte, of each connection.

tls_server.py AUTHORITY CERTIFICATE CONNECTIONS: writes the first two files.
"""
import base64
import json
import socket
import ssl
import sys

import trustme
from truth import say

authority = trustme.CA()
authority.cert_pem.write_to_path(sys.argv[1])
authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2])
listening = socket.create_server(("127.0.0.1", 0))
say("ready")
say(json.dumps(listening.getsockname()[1]))


def request_of(connection):
    """A whole request, with its body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
    while missing > 0:
        more = connection.recv(65536)
        received += more
        missing -= len(more)
    return received


def answer_to(request):
    """Says back what was asked; a page is larger than what fits one TLS record."""
    body = b"%d bytes\n" % len(request)
    if b" /page " in request:
        body = b"".join(b"row %06d\n" % n for n in range(2000))
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


for _ in range(int(sys.argv[3])):
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True) as connection:
        request = request_of(connection)
        answer = answer_to(request)
        connection.sendall(answer)
    pair = {"request": request, "answer": answer}
    say(json.dumps({name: {"bytes": base64.b64encode(data).decode()} for name, data in pair.items()}))
