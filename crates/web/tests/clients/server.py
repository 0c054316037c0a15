"""Starts `owlet serve` for the tests of this folder, and stops it."""

import json
import os
import subprocess
import sys


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
