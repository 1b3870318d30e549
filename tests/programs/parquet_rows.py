"""What pyarrow reads of a Parquet file: what the footer says, then a row a line, as JSON. Not traced."""
import json
import sys

import pyarrow
import pyarrow.parquet

table = pyarrow.parquet.read_table(sys.argv[1])
footer = {
    key.decode(): json.loads(value)
    for key, value in table.schema.metadata.items()
    if key.startswith(b"pytrace-ebpf.")
}
footer["time"] = str(table.schema.field("time").type)
print(json.dumps(footer))
# A number, as the other columns.
time = table.schema.get_field_index("time")
table = table.set_column(time, "time", table["time"].cast(pyarrow.int64()))
for row in table.to_pylist():
    print(json.dumps(row))
