"""The `filters` parameter of list calls, in both of its forms."""

from __future__ import annotations

import msgspec

from hostagent.api.ports import Filters
from hostagent.errors import Invalid

# Since API 1.22 a set {"status": {"exited": true}}, before (and still in docker-py) a list {"status": ["exited"]}.
_BothForms = dict[str, dict[str, bool] | list[str]]


def parse(text: str | None) -> Filters:
    """`text` as name -> values. Raises Invalid.

    In the set form, values marked false are left out, as Docker's clients may send them.
    """
    if not text:
        return {}
    try:
        given = msgspec.json.decode(text, type=_BothForms)
    except msgspec.DecodeError as error:
        raise Invalid(f'invalid filter: {error}: pass JSON such as {{"label": ["a=b"]}}') from None
    return {
        name: list(values) if isinstance(values, list) else [value for value, on in values.items() if on]
        for name, values in given.items()
    }
