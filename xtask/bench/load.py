"""Asks the bench's service on port PORT: for each line "N" on standard input N requests over one connection, one after the
other; the answer is how many a second."""
import http.client
import json
import sys
import time

ORDER = json.dumps({
    "customer": " Ada ",
    "lines": [
        {"item": "tea", "count": "2"}, {"item": "cake", "count": "12"}, {"item": "soup", "count": "1"},
    ],
}).encode()


def main():
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    for line in iter(sys.stdin.readline, ""):
        count = int(line)
        start = time.perf_counter()
        for _ in range(count):
            connection.request("POST", "/", ORDER, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status == 200 and answer["total"] == 2 * 350 + 12 * 510 * 9 // 10 + 690, answer
        print(count / (time.perf_counter() - start))
        sys.stdout.flush()


main()
