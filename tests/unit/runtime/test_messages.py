from __future__ import annotations

import json

import pytest

from hostagent.model.network import Interface
from hostagent.runtime import messages

INTERFACE = Interface("eth0", "02:42:ac:11:00:02", ("172.17.0.2/16",), "172.17.0.1", 1500)


@pytest.mark.parametrize(
    "message",
    [
        messages.Namespaces(),
        messages.Network((INTERFACE,)),
        messages.Console(),
        messages.Ready(),
        messages.Failed("exec", 2, "text"),
    ],
)
def test_there_and_back(message: messages.Message) -> None:
    assert messages.decode(message.encode()) == message


def test_interfaces_travel_as_they_do_everywhere() -> None:
    text = json.dumps({"type": "network", "interfaces": [INTERFACE.to_json()]})
    assert messages.decode(text.encode()) == messages.Network((INTERFACE,))


def test_unknown() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        messages.decode(b'{"type": "nonsense"}')
