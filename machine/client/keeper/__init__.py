"""The keeper: a background process that holds the SSH connection to one machine.

Programs on the laptop connect to its unix socket; every connection becomes a channel to the engine's socket on
the host. So a hundred calls cost one handshake, and any Docker client can be pointed at a local socket.

    paths      where its sockets, locks and log are
    protocol   what is said on its control socket
    pipe       one connection and its channel, half-close both ways
    link       the SSH connection: made, watched, made again
    server     the listeners, the forwards, the end when idle
    __main__   `python -m machine.client.keeper`: takes the lock, binds, detaches

Two threads carry everything: the asyncio loop (local sockets, all sending) and paramiko's (decrypts, and writes
straight into the local socket when it has room). A third one exists while the connection is being made.
"""
