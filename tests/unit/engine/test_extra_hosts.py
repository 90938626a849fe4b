"""`--add-host`: what is refused, and what comes into /etc/hosts."""

from __future__ import annotations

import pytest

from hostagent.engine.networks import extrahosts
from hostagent.errors import Invalid


@pytest.mark.parametrize(
    "entry", ["", "name", ":1.2.3.4", "name=1.2.3.4", "name:", "name:1.2.3", "name:[::1]"]
)
def test_refused_at_create(entry: str) -> None:
    with pytest.raises(Invalid, match="add-host"):
        extrahosts.check([entry])


def test_lines() -> None:
    entries = ["a:1.2.3.4", "b:::1", "c:host-gateway"]
    extrahosts.check(entries)
    assert extrahosts.parse(entries, "172.17.0.1") == [("a", "1.2.3.4"), ("b", "::1"), ("c", "172.17.0.1")]
    with pytest.raises(Invalid, match="bridge"):
        extrahosts.parse(entries, None)
