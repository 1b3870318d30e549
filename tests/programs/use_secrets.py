"""Uses secrets, every one of them `hunter2`."""
from __future__ import print_function

import hashlib
import os
import ssl
import subprocess
import sys

from truth import done, ready

SECRET = "hunter2"
context = ssl.create_default_context()


def raises(f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except Exception:
        return
    raise AssertionError("nothing was raised")


ready()
os.putenv("API_KEY", SECRET)
os.system("true postgres://user:" + SECRET + "@host/db")
environment = dict(os.environ, DB_PASSWORD=SECRET)
subprocess.check_call(["/bin/true", "--password=" + SECRET], env=environment)
raises(context.load_cert_chain, "/no/such/file", password=SECRET)
raises(context.load_cert_chain, "/no/such/file", None, SECRET)
hashlib.pbkdf2_hmac("sha1", SECRET.encode(), b"salt", 1)
print("connect: host=db password=%s user=me" % SECRET, file=sys.stderr)
done()
