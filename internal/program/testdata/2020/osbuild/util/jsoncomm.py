import array
import contextlib
import json
import socket


@contextlib.contextmanager
def connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind("")  # an address of its own, for the answer
        s.connect(path)
        yield s


def send(path, message, fds=()):
    with connect(path) as s:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        s.sendmsg([json.dumps(message).encode()], rights)


def ask(path, message):
    with connect(path) as s:
        s.sendmsg([json.dumps(message).encode()])
        data, control, _, _ = s.recvmsg(65536, socket.CMSG_SPACE(64))
        fds = array.array("i")
        for level, kind, part in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(part)
        return json.loads(data), list(fds)
