"""How what we make in AWS is known as ours, and what its tags say to those who have nothing else."""

from __future__ import annotations

from typing import Any, Final

TAG: Final = "pymachine"  # on everything; its value is the order's ID, or SHARED
SHARED: Final = "shared"
STATE: Final = "pymachine:state"  # of an instance: MAKING until its create has ended
MAKING: Final = "making"
WHOLE: Final = "whole"
BY: Final = "pymachine:by"
HOST_KEY: Final = "pymachine:host-key"
USER: Final = "pymachine:user"
ENDS: Final = "pymachine:ends"
HOURLY: Final = "pymachine:hourly"  # US dollars
AGENT: Final = "pymachine:agent"
NAME: Final = "Name"  # as AWS's console shows it


def tags(thing: dict[str, Any]) -> dict[str, str]:
    """The tags of what a Describe call gave."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in thing.get("Tags", ())}


def as_list(values: dict[str, str]) -> list[dict[str, str]]:
    """For requests. A value has 256 characters at most."""
    return [{"Key": key, "Value": value[:256]} for key, value in values.items()]


def specifications(values: dict[str, str], *kinds: str) -> list[dict[str, Any]]:
    """TagSpecifications: the tags are there when the thing is."""
    return [{"ResourceType": kind, "Tags": as_list(values)} for kind in kinds]
