"""Starts `owlet serve` for the tests of this folder, and stops it."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest


class Server:
    """A server on a free port; `url` is its address."""

    def __init__(self, binary, *arguments, workspace, environment=None):
        self.process = subprocess.Popen(
            [binary, "--workspace", workspace, "--json", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=open(os.path.join(os.path.dirname(workspace), "serve.log"), "ab"),
            env={**os.environ, **(environment or {})},
        )
        text = b""
        while True:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("the server did not start; see serve.log beside the workspace")
            text += line
            if line == b"}\n":
                break
        self.url = json.loads(text)["url"]

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, kill=False):
        if kill:
            self.process.kill()
        else:
            self.process.send_signal(2)
        return self.process.wait(timeout=15)


class ServerTest(unittest.TestCase):
    """A server in a workspace of its own for each test, that can be started again; and its client."""

    binary = model = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = os.path.join(self.folder.name, "workspace")
        self.start()

    def tearDown(self):
        self.client.close()
        self.server.stop()
        self.folder.cleanup()

    def start(self):
        import openai

        self.server = Server(self.binary, self.model, workspace=self.workspace)
        self.client = openai.OpenAI(base_url=self.server.url + "/v1", api_key="none", max_retries=0)

    def poll(self, of, thing, until):
        """Asks `of` (`client.batches`, ...) for a thing until it is as wanted."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            thing = of().retrieve(thing.id)
            if until(thing):
                return thing
            time.sleep(0.02)
        self.fail(f"{thing.id} is still {thing.status}")
