"""The same order service, with Flask."""
import json
import sys
import threading

import journal
import orders
from flask import Flask, request
from truth import say
from werkzeug.serving import WSGIRequestHandler, make_server

app = Flask(__name__)


@app.post("/orders")
def place():
    number = orders.place(*request.get_json())
    return {"order": number}, 400 if number is None else 201


@app.get("/orders/<int:number>")
def find(number):
    order = orders.find(number)
    return {"order": order}, 200 if order else 404


class Quiet(WSGIRequestHandler):
    def log(self, *args):
        pass


orders.create()
service = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
service.daemon_threads = True
thread = threading.Thread(target=service.serve_forever, daemon=True)
thread.start()
say("ready")
say(json.dumps(service.server_port))
sys.stdin.readline()
journal.report()
service.shutdown()
orders.remove()
