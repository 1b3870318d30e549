"""Modern ClickHouse in this process (chdb), behind its HTTP interface as far as the tool uses it. Not traced.

Prints its port; ends when its standard input does. Arguments: the folder for its data, a file of statements to begin with.
"""
import http.server
import os
import sys
import threading
import urllib.parse

from chdb import session

database = session.Session(sys.argv[1])


def statements(text):
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part for part in "\n".join(lines).split(";") if part.strip()]


for statement in statements(open(sys.argv[2]).read()):
    database.query(statement)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        given = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query, keep_blank_values=True))
        sql = self.rfile.read(int(self.headers["Content-Length"])).decode()
        parameters = {name[6:]: value for name, value in given.items() if name.startswith("param_")}
        try:
            answer = database.query(sql, given.get("default_format", "TabSeparated"), params=parameters)
            status, body = 200, answer.bytes() or b""
        except Exception as error:
            status, body = 500, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# One thread: the session is one.
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
# Its own end says that something is not initialised.
os._exit(0)
