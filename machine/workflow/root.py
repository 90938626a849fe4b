"""Commands as root on a host."""

from __future__ import annotations

from machine.model.machine import Machine


def as_root(machine: Machine, command: str) -> str:
    """`command` (one simple command) with the rights of root; without sudo where root logs in, which may lack it."""
    return command if machine.user == "root" else f"sudo -n {command}"
