"""The last step where there is an account: what others need to take the machine over is written beside it."""

from __future__ import annotations

from dataclasses import dataclass

from machine.drivers.account import Account
from machine.drivers.base import Say
from machine.model.machine import Machine
from machine.workflow.request import Request


@dataclass(frozen=True)
class PublishStep:
    account: Account
    request: Request
    name: str = "known in the account"

    def describe(self) -> str:
        return (
            "tag it as whole, with host key and account, so that it is found and trusted without this laptop"
        )

    def execute(self, machine: Machine, say: Say) -> Machine:
        return self.account.publish(machine, self.request.id, self.request.options, say)

    def undo(self, machine: Machine, say: Say) -> None:
        """The tags go with the machine."""
