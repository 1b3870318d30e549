"""Makes a wheel: wheel.py FOLDER prints its path. Python's `zipfile` is all it takes."""
import os
import sys
import zipfile

NAME = os.path.join(sys.argv[1], "parcel-1.0-py2.py3-none-any.whl")
FILES = {
    "parcel/__init__.py": "from parcel.inner import VALUE\n",
    "parcel/inner/__init__.py": "VALUE = 42\n",
    "parcel/inner/data.txt": u"\u00e9\u00e8\n" * 40,
    "parcel/large.txt": "".join("line %d\n" % n for n in range(3000)),
    "parcel/empty.txt": "",
    "parcel-1.0.data/scripts/parcel": "#!python\nimport parcel\nprint(parcel.VALUE)\n",
    "parcel-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: parcel\nVersion: 1.0\n",
    "parcel-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py2-none-any\nTag: py3-none-any\n",
    "parcel-1.0.dist-info/entry_points.txt": "[console_scripts]\nparcel-main = parcel.inner:main\n",
}
with zipfile.ZipFile(NAME, "w", zipfile.ZIP_DEFLATED) as wheel:
    for name in sorted(FILES):
        wheel.writestr(name, FILES[name].encode("utf-8"))
    record = "".join("%s,,\n" % name for name in sorted(FILES)) + "parcel-1.0.dist-info/RECORD,,\n"
    wheel.writestr("parcel-1.0.dist-info/RECORD", record)
print(NAME)
