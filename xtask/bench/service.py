"""A web service, as the bench measures it: a request carries an order as JSON, which is checked and priced, kept in SQLite,
written to a log file, and answered as JSON. `service.py FOLDER TRACER` prints its port. TRACER is what runs in this process:
`none`, or a peer of the tool: `setprofile` and `monitoring` keep what C functions were called where (they are not given
arguments), `viztracer`, `viztracer-args`, `hunter`."""
import http.server
import json
import os
import sqlite3
import sys
import threading
import time

PRICES = {"tea": 350, "coffee": 420, "cake": 510, "soup": 690}
kept = []


class Shop:
    def __init__(self, folder):
        self.log = open(os.path.join(folder, "orders.log"), "a")
        self.db = sqlite3.connect(os.path.join(folder, "orders.db"), check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("CREATE TABLE orders (customer TEXT, item TEXT, count INTEGER, cents INTEGER)")

    def price(self, line):
        item, count = line["item"], int(line["count"])
        if item not in PRICES or not 0 < count < 100:
            raise ValueError(item)
        cents = PRICES[item] * count
        if count >= 10:
            cents -= cents // 10
        return item, count, cents

    def place(self, order):
        customer = order["customer"].strip().lower()
        rows, total = [], 0
        for line in order["lines"]:
            item, count, cents = self.price(line)
            rows.append((customer, item, count, cents))
            total += cents
        self.db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
        self.db.commit()
        spent = self.db.execute("SELECT sum(cents) FROM orders WHERE rowid > (SELECT max(rowid) FROM orders) - 20")
        self.log.write("%.3f %s %d lines, %d cents\n" % (time.time(), customer, len(rows), total))
        self.log.flush()
        return {"customer": customer, "total": total, "spent": spent.fetchone()[0]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out at once and in one piece: otherwise each waits 40 ms for the other side.
    disable_nagle_algorithm = True
    wbufsize = -1
    shop = None

    def do_POST(self):
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(self.shop.place(order)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def profile(frame, event, argument):
    if event in ("c_call", "c_return", "c_exception"):
        kept.append((time.time(), event, argument, frame.f_code, frame.f_lineno))
        if len(kept) > 10000:
            kept.clear()


def monitor():
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "bench")

    def note(code, offset, function, argument):
        kept.append((time.time(), function, code, offset, argument))
        if len(kept) > 10000:
            kept.clear()

    events = monitoring.events
    for event in (events.CALL, events.C_RETURN, events.C_RAISE):
        monitoring.register_callback(3, event, note)
    monitoring.set_events(3, events.CALL | events.C_RETURN | events.C_RAISE)


def begin(tracer):
    if tracer == "setprofile":
        threading.setprofile(profile)
        sys.setprofile(profile)
    elif tracer == "monitoring":
        monitor()
    elif tracer.startswith("viztracer"):
        import viztracer

        arguments = tracer.endswith("-args")
        viztracer.VizTracer(log_func_args=arguments, log_func_retval=arguments, verbose=0).start()
    elif tracer == "hunter":
        import hunter

        hunter.trace(action=hunter.CallPrinter(stream=open(os.devnull, "w")))


def main():
    folder, tracer = sys.argv[1:]
    Handler.shop = Shop(folder)
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1])
    sys.stdout.flush()
    begin(tracer)
    server.serve_forever()


if __name__ == "__main__":
    main()
