"""The sockets at 127.0.0.11:53 of a container's network namespace, where its resolv.conf sends it.

Whoever is in the namespace opens them, the shim keeps them for the container's life, and every daemon gets copies
(design.md, rule 7): while there is none, questions wait in them.
"""

from __future__ import annotations

import socket

ADDRESS, PORT = "127.0.0.11", 53
_BACKLOG = 64


def open_sockets() -> tuple[int, int]:
    """(UDP, listening TCP), in the namespace that we are in; lo is up. Both let servers of the container that ask for
    it share port 53 of every address."""
    opened = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        made = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((ADDRESS, PORT))
        opened.append(made)
    opened[1].listen(_BACKLOG)
    udp, tcp = (made.detach() for made in opened)
    return udp, tcp
