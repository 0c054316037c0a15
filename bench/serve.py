"""A server and its clients, owlet's or llama.cpp's: the same requests by the same code over HTTP.

  python serve.py MODEL.gguf --owlet BINARY [--threads N] [--clients N] [--each N] [--new N]
  python serve.py MODEL.gguf                               the same against llama.cpp's server (`xllamacpp`)

All clients ask at once, each one request after the other on its own connection. Texts cannot end early: the
tokens that would end them are ruled out for both.
"""

import argparse
import atexit
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--owlet")
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--clients", type=int, default=64)
parser.add_argument("--each", type=int, default=2)
parser.add_argument("--new", type=int, default=48)
parser.add_argument("--listen", action="store_true", help="be llama.cpp's server, nothing else")
arguments = parser.parse_args()


def listen():
    """llama.cpp's server until the other side closes: as many slots as clients."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = arguments.model
    params.n_parallel = arguments.clients
    params.n_ctx = arguments.clients * 256
    params.n_batch = params.n_ubatch = 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    params.n_threads_http = arguments.clients + 8
    params.port = 0
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address, "version": xllamacpp.__version__}), flush=True)
    sys.stdin.read()


def ask(connection, number):
    # Pseudo-random tokens that no other request shares.
    prompt = [3 + (number * 7919 + i * 104729) % 49000 for i in range(64)]
    body = {
        "model": "model", "prompt": prompt, "max_tokens": arguments.new, "temperature": 1.0, "top_k": 0,
        "top_p": 1.0, "min_p": 0.0, "seed": number, "logit_bias": {"0": -100, "2": -100}, "cache_prompt": False,
    }
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    count = answer["usage"]["completion_tokens"] if "usage" in answer else answer
    assert count == arguments.new, count


def client(first):
    # Servers close connections on which nothing was said for long, as while the other side has its turn.
    connections[first // arguments.each].close()
    for number in range(first, first + arguments.each):
        ask(connections[first // arguments.each], number)


def work(pool):
    list(pool.map(client, range(0, arguments.clients * arguments.each, arguments.each)))


if arguments.listen:
    listen()
    sys.exit()

folder = tempfile.TemporaryDirectory()
if arguments.owlet:
    command = [arguments.owlet, "--workspace", folder.name, "--json", "serve", "--no-fine-tuning", "--port", "0",
               f"model={arguments.model}"]
else:
    command = [sys.executable, *sys.argv, "--listen"]
cores = sorted(os.sched_getaffinity(0))[:arguments.threads]
server = subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    preexec_fn=lambda: os.sched_setaffinity(0, cores),
)
atexit.register(server.kill)
about = ""
while not about.endswith("}\n"):
    line = server.stdout.readline()
    assert line, "the server did not start"
    about += line
about = json.loads(about)
address = urlsplit(about["url"])
connections = [http.client.HTTPConnection(address.hostname, address.port, timeout=600) for _ in range(arguments.clients)]
with ThreadPoolExecutor(arguments.clients) as pool:
    work(pool)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work(pool)
        print(time.perf_counter() - start, flush=True)
with open(f"/proc/{server.pid}/status") as status:
    peak = int(re.search(r"VmHWM:\s+(\d+)", status.read())[1]) // 1024
version = "owlet" if arguments.owlet else f"llama.cpp's server (xllamacpp {about['version']}, prebuilt)"
print(json.dumps({"tokens": arguments.clients * arguments.each * arguments.new, "peak_mib": peak, "version": version}))
