import json
import socket


def send(path, message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind("")
        s.connect(path)
        s.sendmsg([json.dumps(message).encode()])
