"""A small shop, whose functions `testgen` makes tests of: what they need of the world is there only while it runs."""
import datetime
import os
import random
import socket
import sqlite3
import sys
import threading
import time

orders = 0


def total(items, rate=2, *extra, currency="EUR"):
    return "%d %s" % (sum(price * rate for _, price in items) + len(extra), currency)


def discount(customer, folder):
    """Reads a file that is there, or is not."""
    with open(os.path.join(folder, customer)) as file:
        return int(file.read())


def lines(path):
    with open(path) as file:
        return [line.strip() for line in file]


def log(path, what, now=None):
    stamp = now or time.time()
    with open(path, "a") as file:
        file.write("%s %.3f\n" % (what, stamp))
    return stamp


def lottery(n):
    return random.random() < 0.5, [random.randint(1, 6) for _ in range(n)], random.choice("abc")


def add(basket, item, counts):
    global orders
    orders += 1
    basket.append(item)
    basket.sort()
    counts[item] = counts.get(item, 0) + 1
    counts["all"].append(item)
    return basket


def take(basket):
    return basket.pop()


def today():
    return datetime.datetime.now().isoformat()


def save(path, name, cents):
    connection = sqlite3.connect(path)
    cursor = connection.execute("INSERT INTO orders (name, cents) VALUES (?, ?)", (name, cents))
    connection.commit()
    found = connection.execute("SELECT count(*), sum(cents) FROM orders").fetchone()
    connection.close()
    return found


def ask(address, question):
    with socket.create_connection(address) as s:
        s.sendall(question.encode())
        return s.recv(100).decode()


def greet(name):
    print("hello", name)
    return os.environ.get("SHOP_GREETING", "none")


class Account(object):
    def __init__(self, name):
        self.name = name
        self.cents = 0
        self.history = ()

    def pay(self, cents):
        if cents > self.cents:
            raise ValueError("not enough", self.cents)
        self.cents -= cents
        self.history = self.history + (cents,)
        return self.cents

    @classmethod
    def of(cls, name):
        return cls(name)

    @staticmethod
    def fee(cents):
        return cents // 10


def audit(accounts):
    return [account.cents for account in accounts]


def main(folder):
    print(total([("soap", 3), ("tea", 4)], 2, 9, currency="USD"), total([]))
    with open(os.path.join(folder, "ada"), "w") as file:
        file.write("15")
    print(discount("ada", folder))
    try:
        discount("nobody", folder)
    except OSError:
        pass
    with open(os.path.join(folder, "lines"), "w") as file:
        file.write("a\nb\nc\n")
    print(lines(os.path.join(folder, "lines")))
    log(os.path.join(folder, "log"), "began")
    log(os.path.join(folder, "log"), "ended", 2.5)
    print(lottery(3))
    basket, counts = ["tea"], {"all": []}
    add(basket, "soap", counts)
    add(basket, "soap", counts)
    take(basket)
    try:
        take([])
    except IndexError:
        pass
    print(today())
    path = os.path.join(folder, "db")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE orders (name TEXT, cents INTEGER)")
    connection.commit()
    connection.close()
    save(path, "ada", 250)
    save(path, "bob", 5)
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)

    def answer():
        peer, _ = server.accept()
        peer.sendall(peer.recv(100).upper())
        peer.close()

    thread = threading.Thread(target=answer)
    thread.start()
    ask(server.getsockname(), "what is it?")
    thread.join()
    server.close()
    greet("ada")
    account = Account.of("ada")
    account.cents = 100
    account.pay(30)
    try:
        account.pay(1000)
    except ValueError:
        pass
    Account.fee(250)
    audit([account])


if __name__ == "__main__":
    main(sys.argv[1])
