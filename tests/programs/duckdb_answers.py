"""What DuckDB answers, of the Parquet file `calls.parquet` in this folder: for each line of standard input, `{"sql": …,
"parameters": {…}}`, one line, a list of rows as objects. Argument: a file of statements to begin with. Not traced.
"""
import datetime
import json
import re
import sys

import duckdb

database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
database.execute(open(sys.argv[1]).read())


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


for line in sys.stdin:
    asked = json.loads(line)
    names = set(re.findall(r"\$(\w+)", asked["sql"]))
    found = database.execute(asked["sql"], {name: asked["parameters"][name] for name in names})
    columns = [column[0] for column in found.description]
    print(json.dumps([dict(zip(columns, map(plain, row))) for row in found.fetchall()]))
