"""Orders, in SQLite and a log file: what both web services do for a request."""
import os
import sqlite3
import tempfile

from journal import note, raised, returned

CREATE = "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, item TEXT, cents INTEGER NOT NULL)"
INSERT = "INSERT INTO orders (customer, item, cents) VALUES (?, ?, ?)"
SELECT = "SELECT customer, item, cents FROM orders WHERE id = ?"
FOLDER = tempfile.mkdtemp()
DATABASE = os.path.join(FOLDER, "orders.db")
LOG = os.path.join(FOLDER, "orders.log")


def create():
    connection = sqlite3.connect(DATABASE)
    connection.execute(CREATE)
    connection.close()


def place(customer, item, cents):
    """The number of the new order; `None` where the database refuses it."""
    note(sqlite3.connect, DATABASE)
    connection = sqlite3.connect(DATABASE)
    try:
        act = note(connection.execute, INSERT, (customer, item, cents))
        cursor = connection.execute(INSERT, (customer, item, cents))
    except sqlite3.IntegrityError as e:
        raised(act, e)
        note(connection.close)
        connection.close()
        return None
    returned(act, cursor)
    act = note(connection.commit)
    connection.commit()
    returned(act, None)
    number = cursor.lastrowid
    note(connection.close)
    connection.close()
    write_log(u"order %d: %s, %s\n" % (number, customer, item))
    return number


def find(number):
    """The order, or `None`."""
    note(sqlite3.connect, DATABASE)
    connection = sqlite3.connect(DATABASE)
    act = note(connection.execute, SELECT, (number,))
    cursor = connection.execute(SELECT, (number,))
    returned(act, cursor)
    act = note(cursor.fetchone)
    order = cursor.fetchone()
    returned(act, order)
    note(connection.close)
    connection.close()
    return order


def write_log(line):
    note(open, LOG, "a")
    log = open(LOG, "a")
    act = note(log.write, line)
    returned(act, log.write(line))
    act = note(log.close)
    log.close()
    returned(act, None)


def remove():
    for name in os.listdir(FOLDER):
        os.unlink(os.path.join(FOLDER, name))
    os.rmdir(FOLDER)
