"""early.py CLIENT FORM METHOD URL SIZE TIMES sends requests whose bodies the server does not read, and prints a line for
each answer: its status, and how long its body is."""
import http.client
import sys
import urllib.error
import urllib.parse
import urllib.request

client, form, method, url, size, times = sys.argv[1:]


def pieces():
    left = int(size)
    while left > 0:
        yield b"x" * min(left, 64 << 10)
        left -= 64 << 10


def by_http_client():
    to = urllib.parse.urlsplit(url)
    c = http.client.HTTPConnection(to.hostname, to.port, timeout=60)
    headers = {} if form == "chunked" else {"Content-Length": size}
    c.request(method, to.path, pieces(), headers)
    res = c.getresponse()
    return res.status, len(res.read())


def by_urllib():
    body = pieces() if form == "chunked" else b"x" * int(size)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(urllib.request.Request(url, body, method=method), timeout=60) as res:
            return res.status, len(res.read())
    except urllib.error.HTTPError as e:
        return e.code, len(e.read())


for _ in range(int(times)):
    try:
        print(*(by_urllib if client == "urllib" else by_http_client)())
    except Exception as e:
        print(repr(e))
