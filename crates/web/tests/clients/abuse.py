"""What others notice of clients that ask for too much: how long a small request takes meanwhile.
python abuse.py path/to/owlet path/to/model [most seconds]; by hand, with a model of the size people serve
and `ulimit -n` above 9000."""

import http.client
import json
import resource
import socket
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

from server import Server

MOST = float(sys.argv[3]) if len(sys.argv) > 3 else 1.0
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


class Abuse:
    def __init__(self, server):
        self.place = urlsplit(server.url)
        self.sockets = []
        self.told = []

    def post(self, path, body, timeout=300):
        begun = time.monotonic()
        connection = http.client.HTTPConnection(self.place.hostname, self.place.port, timeout=timeout)
        try:
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except OSError as error:
            status = type(error).__name__
        finally:
            connection.close()
        return status, time.monotonic() - begun

    def hold(self, count, beginning):
        """Connections that stay, and never say more."""
        for _ in range(count):
            try:
                held = socket.create_connection((self.place.hostname, self.place.port), timeout=5)
                held.sendall(beginning)
                self.sockets.append(held)
            except OSError:
                pass

    def chat(self, model, text, **more):
        return self.post("/v1/chat/completions",
                         {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 1, **more})

    def tell(self, asked):
        status, seconds = asked()
        self.told.append(f"{status} {seconds:.1f}s")


def schema(count, extra=0):
    properties = {f"p{i}": {"const": "x" * 20} for i in range(count)}
    return {"response_format": {"type": "json_schema", "json_schema": {
        "name": "x", "schema": {"type": "object", "properties": properties}}}, "max_tokens": 1 + extra}


def abuses(abuse, host):
    half = f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\n".encode()
    body = half + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{"
    words = "the owl sat on a branch and looked at the moon " * 900
    long = " ".join(words.split()[:7900])
    echo = {"model": "large", "prompt": long, "max_tokens": 0, "echo": True, "logprobs": 5}
    yield "schema of 87 KB", [lambda: abuse.chat("large", "x", **schema(2000))] * 4
    yield "schema of 900 properties, 100 tokens", [lambda: abuse.chat("large", "x", **schema(900, 100))] * 4
    yield "four texts of 14 MB", [lambda: abuse.chat("large", "ab" * (7 << 20))] * 4
    yield "four texts that just may fit", [lambda: abuse.chat("large", "ab" * 250_000)] * 4
    yield "echo of 7,900 tokens, twice", [lambda: abuse.post("/v1/completions", echo)] * 2
    yield "prompts of 7,900 tokens, four", [lambda: abuse.chat("large", long + " " * i) for i in range(4)]
    yield "4,200 half-open connections", [lambda: abuse.hold(4200, half)]
    yield "4,200 half-sent small bodies", [lambda: abuse.hold(4200, body % 5000)]
    yield "64 half-sent large bodies", [lambda: abuse.hold(64, body % (15 << 20))]


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        server = Server(sys.argv[1], f"large={sys.argv[2]}", "builtin:a", workspace=folder + "/workspace")
        abuse = Abuse(server)
        host = abuse.place.netloc
        for name, asked in abuses(abuse, host):
            abuse.told.clear()
            tell = (lambda one: one()) if "half" in name else abuse.tell
            threads = [threading.Thread(target=tell, args=(one,), daemon=True) for one in asked]
            begun = time.monotonic()
            for thread in threads:
                thread.start()
            slowest = {"builtin:a": 0.0, "large": 0.0}
            statuses = set()
            while time.monotonic() - begun < 3 or (
                    any(thread.is_alive() for thread in threads) and time.monotonic() - begun < 60):
                for model, text in (("builtin:a", "pick a animal"), ("large", "Hello.")):
                    status, seconds = abuse.chat(model, text)
                    statuses.add(status)
                    slowest[model] = max(slowest[model], seconds)
                time.sleep(0.05)
            took = time.monotonic() - begun
            good = statuses == {200} and max(slowest.values()) <= MOST
            failed |= not good
            print(f"{'ok ' if good else 'BAD'} {name}: small request {slowest['builtin:a']:.2f} s at most on builtin:a, "
                  f"{slowest['large']:.2f} s on the same model, {statuses}; all {took:.0f} s, {sorted(abuse.told)}; "
                  f"{server.memory() >> 20} MiB", flush=True)
            for held in abuse.sockets:
                held.close()
            abuse.sockets.clear()
            for thread in threads:
                thread.join(timeout=120)
        server.stop()
    sys.exit(failed)


if __name__ == "__main__":
    main()
