"""psycopg2, on a real server: statements with parameters, rows, errors, several ways to end a transaction.

postgres.py PORT: of a server on 127.0.0.1 that asks for no password.
"""
import decimal
import json
import sys

import journal
import psycopg2
from journal import note, raised, returned
from truth import ready, say

sent = []


def execute(cursor, statement, values=None):
    """Executes, and keeps what psycopg2 says that it sent."""
    arguments = (statement,) if values is None else (statement, values)
    try:
        act = note(cursor.execute, *arguments)
        cursor.execute(*arguments)
    except psycopg2.Error as e:
        raised(act, e)
    else:
        returned(act, None)
    sent.append(cursor.query.decode("utf-8"))


def fetch(cursor, method, *arguments):
    act = note(method, *arguments)
    rows = method(*arguments)
    returned(act, rows)
    return rows


def orders(connection):
    cursor = connection.cursor()
    execute(cursor, "CREATE TABLE orders (id serial PRIMARY KEY, customer text NOT NULL, cents int CHECK (cents > 0))")
    for customer, cents in [(u"Zo\u00eb O'Hara", 250), (u"\u8c37\u53e3", 1200), ("x" * 100, 3)]:
        execute(cursor, "INSERT INTO orders (customer, cents) VALUES (%s, %s) RETURNING id", (customer, cents))
        fetch(cursor, cursor.fetchone)
    execute(cursor, "SELECT customer, cents FROM orders WHERE cents > %(least)s ORDER BY id", {"least": 100})
    fetch(cursor, cursor.fetchall)
    execute(cursor, "SELECT generate_series(1, 5)")
    fetch(cursor, cursor.fetchmany, 2)
    fetch(cursor, cursor.fetchone)
    act = note(connection.commit)
    connection.commit()
    returned(act, None)


def errors(connection):
    cursor = connection.cursor()
    for statement, values in [
        ("INSERT INTO orders (customer, cents) VALUES (%s, %s)", (None, 1)),
        ("INSERT INTO orders (customer, cents) VALUES (%s, %s)", ("ann", -1)),
        ("SELEKT 1", None),
        ("SELECT %s / 0", (decimal.Decimal("1.5"),)),
    ]:
        execute(cursor, statement, values)
        act = note(connection.rollback)
        connection.rollback()
        returned(act, None)
    act = note(cursor.close)
    cursor.close()
    returned(act, None)
    act = note(connection.close)
    connection.close()
    returned(act, None)


ready()
dsn = "host=127.0.0.1 port=%s user=pytrace dbname=postgres password=hunter2" % sys.argv[1]
connection = psycopg2.connect(dsn)
orders(connection)
errors(connection)
say(json.dumps(sent))
journal.report()
