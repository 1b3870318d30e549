"""requests, to an HTTPS server: prints what it was answered."""
import json
import sys

import requests
from truth import done, ready, say

ready()
port, certificate = json.loads(sys.stdin.readline())
url = "https://localhost:%d" % port
answers = [
    requests.get(url + "/hello", verify=certificate),
    requests.post(url + "/login", data={"user": "ann", "password": "hunter2"}, verify=certificate),
    requests.get(url + "/me", headers={"Authorization": "Bearer hunter2"}, verify=certificate),
    requests.get(url + "/page", verify=certificate),
]
for answer in answers:
    say(json.dumps({"status": answer.status_code, "text": answer.text}))
done()
