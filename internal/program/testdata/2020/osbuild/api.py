import json
import os
import sys
import tempfile

from .util import jsoncomm

SOCKET = "/run/osbuild/api/osbuild"


def arguments(path=None):
    message, fds = jsoncomm.ask(path or SOCKET, {"method": "get-arguments"})
    with os.fdopen(fds[message["fd"]]) as f:
        return json.load(f)


def setup_stdio(path=None):
    message, fds = jsoncomm.ask(path or SOCKET, {"method": "setup-stdio"})
    for name in ["stdin", "stdout", "stderr"]:
        os.dup2(fds[message[name]], getattr(sys, name).fileno())
    for fd in set(fds):
        os.close(fd)


def metadata(value, path=None):
    with tempfile.TemporaryFile("w+") as f:
        json.dump(value, f)
        f.flush()
        jsoncomm.send(path or SOCKET, {"method": "add-metadata", "metadata": 0}, [f.fileno()])
