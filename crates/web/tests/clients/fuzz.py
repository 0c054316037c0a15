"""Hostile requests to every route: no answer is 5xx, every refusal is OpenAI's error object, and the
server is alive at the end. python fuzz.py path/to/owlet [count] [seed]"""

import collections
import copy
import json
import os
import random
import socket
import sys
import tempfile

import httpx2 as httpx

from server import Server

BINARY = sys.argv[1]
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "strict": True, "parameters": {
    "type": "object", "properties": {"a": {"type": "string"}, "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["a"], "additionalProperties": {}}}}
CHAT = {
    "model": "builtin:a",
    "messages": [{"role": "user", "content": "pick a animal"}, {"role": "assistant", "content": "owl"},
                 {"role": "user", "content": [{"type": "text", "text": "pick a animal"}]}],
    "temperature": 1, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "seed": 1, "stop": ["x"], "n": 2,
    "max_tokens": 3, "max_completion_tokens": 3, "logprobs": True, "top_logprobs": 2,
    "logit_bias": {"5": 1}, "frequency_penalty": 0.1, "presence_penalty": 0.1,
    "response_format": {"type": "text"}, "stream": False, "stream_options": {"include_usage": True},
    "tools": [TOOL], "tool_choice": "none", "parallel_tool_calls": False,
    "add_generation_prompt": True, "continue_final_message": False,
}
TEXT = {"model": "builtin:a", "prompt": ["owl wolf", "cat"], "max_tokens": 2, "echo": True, "logprobs": 2,
        "prompt_logprobs": 1, "n": 1, "best_of": 1, "suffix": "", "temperature": 0.5, "seed": 3, "stream": False}
SCHEMA = {"model": "builtin:a", "messages": CHAT["messages"][:1], "max_tokens": 2, "response_format": {
    "type": "json_schema", "json_schema": {"name": "x", "schema": TOOL["function"]["parameters"]}}}
JOB = {"model": "builtin:a", "training_file": "file-0", "seed": 1, "suffix": "s",
       "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": "auto", "batch_size": 2}}}}
BATCH = {"input_file_id": "file-0", "endpoint": "/v1/completions", "completion_window": "24h", "metadata": {"a": "b"}}
BODIES = {"/v1/chat/completions": [CHAT, SCHEMA], "/v1/completions": [TEXT], "/v1/fine_tuning/jobs": [JOB],
          "/v1/batches": [BATCH]}
PATHS = ["/", "/health", "/metrics", "/v1/models", "/v1/models/builtin:a", "/v1/files", "/v1/files/x",
         "/v1/files/x/content", "/v1/fine_tuning/jobs", "/v1/fine_tuning/jobs/x",
         "/v1/fine_tuning/jobs/x/cancel", "/v1/fine_tuning/jobs/x/events?limit=0",
         "/v1/fine_tuning/jobs/x/checkpoints?after=%00", "/v1/batches", "/v1/batches/x", "/v1/batches/x/cancel", "/v1/files?limit=99999999999999999999",
         "/v1/files/..%2f..%2f..%2fetc%2fpasswd/content", "/v1/files/%00", "/v1/models/%ff", "/v1/../etc",
         "/v1/chat/completions", "//", "/v1/models/" + "x" * 5000]
VALUES = [None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, -0.0, 0.5, "", "x", "\0", "é" * 100,
          "auto", [], {}, [[]], [None], {"": None}, [1, "a"], "a" * 100_000, ["x"] * 1000, [[1, 2], [3]],
          {"$ref": "#"}, {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
          {"type": "array", "minItems": 60, "maxItems": 64, "items": {"type": "string", "maxLength": 64}},
          {"enum": []}, {"anyOf": []}, {"role": "user"}, {"role": "tool", "content": None}, 999999999999999999999]


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*path, i))


def mutated(body, rng):
    body = copy.deepcopy(body)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
        path = rng.choice([path for path in places(body) if path])
        parent = body
        for step in path[:-1]:
            parent = parent[step]
        what = rng.random()
        if what < 0.15:
            del parent[path[-1]]
        elif what < 0.25 and isinstance(parent, list):
            parent.append(parent[path[-1]])
        elif what < 0.3 and isinstance(parent, dict):
            parent["unknown\n"] = rng.choice(VALUES)
        else:
            parent[path[-1]] = copy.deepcopy(rng.choice(VALUES))
    return body


def garbled(text, rng):
    data = bytearray(text)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data)) if data else 0
        what = rng.random()
        if what < 0.3:
            data[at:at + 1] = bytes([rng.randrange(256)])
        elif what < 0.6:
            del data[at:at + rng.randint(1, 20)]
        else:
            data[at:at] = rng.choice([b"[" * 300, b"{\"a\":" * 200, b"\\ud800", b"1e999", b"\x00", b"null"])
    return bytes(data)


def raw(url, data):
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stream:
        try:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
            return stream.recv(100)
        except OSError:
            return b""


def main():
    rng = random.Random(SEED)
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(BINARY, "builtin:a", workspace=os.path.join(folder, "workspace"))
        with httpx.Client(base_url=server.url, timeout=60) as client:
            lines = [{"custom_id": str(i), "method": "POST", "url": "/v1/completions", "body": mutated(TEXT, rng)}
                     for i in range(20)]
            upload = {"file": ("x.jsonl", "\n".join(map(json.dumps, lines)).encode())}
            BATCH["input_file_id"] = client.post("/v1/files", data={"purpose": "batch"}, files=upload).json()["id"]
            for i in range(COUNT):
                if rng.random() < 0.8:
                    path = rng.choice([*BODIES, "/v1/chat/completions", "/v1/chat/completions"])
                    content = json.dumps(mutated(rng.choice(BODIES[path]), rng)).encode()
                    if rng.random() < 0.2:
                        content = garbled(content, rng)
                    method = "POST"
                else:
                    path, method = rng.choice(PATHS), rng.choice(["GET", "POST", "DELETE", "PUT", "OPTIONS", "HEAD"])
                    content = rng.choice([b"", b"{}", b"--x\r\n", garbled(b"x" * 50, rng)])
                kind = rng.choice(["application/json"] * 9 + ["text/plain", "multipart/form-data; boundary=x", "a"])
                try:
                    answer = client.request(method, path, content=content, headers={"content-type": kind})
                except httpx.HTTPError as error:
                    sys.exit(f"{error!r} at {i}: {method} {path[:60]} {kind} {len(content)} {content[:1500]!r}")
                counts[answer.status_code] += 1
                where = f"{method} {path[:60]} {content[:2000]!r}"
                assert answer.status_code < 500, f"{answer.status_code}: {answer.text[:300]}\n{where}"
                if answer.status_code >= 400 and method != "HEAD":
                    is_json = answer.headers.get("content-type", "").startswith("application/json")
                    assert is_json, f"{answer.status_code}: {answer.text[:300]!r}\n{where}"
                    error = answer.json()["error"]
                    assert error["message"] and error["type"], where
                elif answer.headers.get("content-type", "").startswith("application/json") and method == "POST":
                    answer.json()
        for data in [b"", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"G" * 200_000,
                     b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{",
                     b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"A: b\r\n" * 5000 + b"\r\n"]:
            said = raw(server.url, data)
            assert not said.startswith(b"HTTP/1.1 5"), (data[:80], said)
            counts["raw"] += 1
        assert httpx.get(server.url + "/health").json() == {"status": "ok"}
        assert server.stop() == 0
    print(f"{COUNT} requests, no 5xx:", dict(sorted(counts.items(), key=str)))


if __name__ == "__main__":
    main()
