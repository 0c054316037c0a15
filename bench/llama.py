"""llama.cpp's side of sampling: the same file, the same number of new tokens, as `torch_baseline.py`.

  python llama.py MODEL.gguf [--threads N] [--batch N] [--new N]

All requests are sent at once to llama.cpp's own server (continuous batching, as many slots as requests).
"""

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import xllamacpp

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--batch", type=int, default=64)
parser.add_argument("--new", type=int, default=48)
arguments = parser.parse_args()

params = xllamacpp.CommonParams()
params.model.path = arguments.model
params.n_parallel = arguments.batch
params.n_ctx = arguments.batch * 128
params.n_batch = params.n_ubatch = 512
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
params.verbosity = 0
server = xllamacpp.Server(params)


def ask(number):
    # Pseudo-random tokens that no other request shares.
    prompt = [1 + (number * 7919 + i * 104729) % 49000 for i in range(32)]
    answer = server.handle_completions({
        "prompt": prompt, "n_predict": arguments.new, "ignore_eos": True, "temperature": 1.0,
        "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": number, "cache_prompt": False, "n_probs": 1,
    })
    return answer["tokens_predicted"] if "tokens_predicted" in answer else answer["usage"]["completion_tokens"]


def work():
    with ThreadPoolExecutor(arguments.batch) as pool:
        found = list(pool.map(ask, range(arguments.batch)))
    assert found == [arguments.new] * arguments.batch, found


work()
print("ready", flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    work()
    print(time.perf_counter() - start, flush=True)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
version = f"llama.cpp (xllamacpp {xllamacpp.__version__}, prebuilt)"
print(json.dumps({"tokens": arguments.batch * arguments.new, "peak_mib": peak, "version": version}))
