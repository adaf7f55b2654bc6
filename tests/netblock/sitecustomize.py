"""Refuse every connect off the loopback, before it happens, in each Python process of the tests."""

import ipaddress
import socket

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _refuse_foreign(address: object) -> None:
    if not isinstance(address, tuple):
        return  # a Unix socket
    host = str(address[0])
    if host == "localhost":
        return
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        raise ConnectionRefusedError(f"the tests connect to the loopback only, not to {host}")


def connect(self: socket.socket, address: object) -> None:
    _refuse_foreign(address)
    _connect(self, address)


def connect_ex(self: socket.socket, address: object) -> int:
    _refuse_foreign(address)
    return _connect_ex(self, address)


socket.socket.connect = connect  # type: ignore[method-assign,assignment]
socket.socket.connect_ex = connect_ex  # type: ignore[method-assign,assignment]
