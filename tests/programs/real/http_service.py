"""An order service of the standard library: a thread for each request."""
import json
import sys
import threading

import journal
import orders
from truth import say

try:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from socketserver import ThreadingMixIn
except ImportError:
    from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
    from SocketServer import ThreadingMixIn


class Service(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        number = orders.place(*json.loads(body.decode("utf-8")))
        self.answer(400 if number is None else 201, {"order": number})

    def do_GET(self):
        order = orders.find(int(self.path.rsplit("/", 1)[1]))
        self.answer(200 if order else 404, {"order": order})

    def answer(self, status, content):
        body = json.dumps(content).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


orders.create()
service = Service(("127.0.0.1", 0), Handler)
thread = threading.Thread(target=service.serve_forever)
thread.daemon = True
thread.start()
say("ready")
say(json.dumps(service.server_address[1]))
sys.stdin.readline()
journal.report()
service.shutdown()
orders.remove()
