"""A small order service to try the tracer on: HTTP, SQLite, a log file, a UDP warehouse.

    orders.py                         serve; prints {"port": ..., "pid": ...} when ready
    orders.py --load URL --seconds N  send it about five orders a second

The service ends by itself after ten minutes without a request. Standard library only.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IDLE_SECONDS = 600
PRICES = {"apple": 40, "bread": 320, "cheese": 890, "soap": 210}


class Shop:
    """What the service knows and writes: its database, its log and its warehouse."""

    def __init__(self, directory):
        self.directory = directory
        self.log_path = os.path.join(directory, "orders.log")
        self.lock = threading.Lock()
        self.database = sqlite3.connect(
            os.path.join(directory, "orders.db"), check_same_thread=False
        )
        self.database.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, item TEXT, cents INTEGER)"
        )
        self.database.commit()
        self.warehouse = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.warehouse.bind(("127.0.0.1", 0))
        self.outbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.outbox.connect(self.warehouse.getsockname())

    def place_order(self, order):
        customer, item = order["customer"], order["item"]
        cents = PRICES[item] - self.find_discount(customer)
        number = self.save_order(customer, item, cents)
        self.notify_warehouse(number, item)
        self.write_log("order {} {} {} {}".format(number, customer, item, cents))
        if number % 5 == 0:
            print("sold", number, "orders so far", flush=True)
        return number

    def find_discount(self, customer):
        path = os.path.join(self.directory, "discounts", customer)
        try:
            with open(path) as discount:
                return int(discount.read())
        except FileNotFoundError:
            return 0

    def save_order(self, customer, item, cents):
        with self.lock:
            cursor = self.database.execute(
                "INSERT INTO orders (customer, item, cents) VALUES (?, ?, ?)",
                (customer, item, cents),
            )
            self.database.commit()
            return cursor.lastrowid

    def notify_warehouse(self, number, item):
        self.outbox.send(json.dumps({"order": number, "pick": item}).encode())

    def write_log(self, line):
        with open(self.log_path, "a") as log:
            log.write(line + "\n")

    def run_warehouse(self):
        while True:
            self.receive_pick_list()

    def receive_pick_list(self):
        return json.loads(self.warehouse.recv(4096).decode())


class OrderHandler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "ok", "pid": os.getpid()})
        else:
            self.answer(404, {"error": "no such page"})

    def do_POST(self):
        if self.path != "/orders":
            self.answer(404, {"error": "no such page"})
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            number = self.server.shop.place_order(json.loads(body.decode()))
        except (KeyError, TypeError, ValueError) as error:
            self.answer(400, {"error": "not an order: {!r}".format(error)})
        else:
            self.answer(201, {"order": number})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """No access log: the orders are logged."""


class OrderServer(ThreadingHTTPServer):
    timeout = IDLE_SECONDS

    def __init__(self, shop):
        super().__init__(("127.0.0.1", 0), OrderHandler)
        self.shop = shop

    def handle_timeout(self):
        sys.exit("no request for {} seconds: closing".format(IDLE_SECONDS))


def serve():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    directory = tempfile.mkdtemp(prefix="orders-")
    try:
        shop = Shop(directory)
        threading.Thread(target=shop.run_warehouse, daemon=True).start()
        server = OrderServer(shop)
        print(json.dumps({"port": server.server_port, "pid": os.getpid()}), flush=True)
        while True:
            server.handle_request()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def send_orders(url, seconds):
    end = time.monotonic() + seconds
    for customer in itertools.cycle(["ada", "grace", "linus"]):
        if time.monotonic() >= end:
            return
        order = {"customer": customer, "item": random.choice(sorted(PRICES))}
        request = urllib.request.Request(url + "/orders", json.dumps(order).encode())
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.URLError as error:
            sys.exit("the service at {} does not answer: {}".format(url, error))
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--load", metavar="URL", help="send orders to the service at URL")
    parser.add_argument("--seconds", type=float, default=30, help="for that long")
    arguments = parser.parse_args()
    if arguments.load:
        send_orders(arguments.load, arguments.seconds)
    else:
        serve()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
