"""What a registry's refusals and broken connections mean, in words. Source: OCI distribution-spec 1.1, Error Codes."""

from __future__ import annotations

import msgspec
from urllib3.exceptions import MaxRetryError

from hostagent.errors import Denied, EngineError, NotFound, Unauthorized, Unavailable


class _Fault(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Faults(msgspec.Struct):
    errors: list[_Fault] = []
    details: str = ""  # what token servers say


def said(data: bytes) -> str:
    """The registry's own words in an answer's body, "" when there are none."""
    try:
        faults = msgspec.json.decode(data, type=_Faults)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    told = [": ".join(part for part in (_plain(each.code), each.message) if part) for each in faults.errors]
    return ", ".join(told) or faults.details


def _plain(code: str) -> str:
    """`MANIFEST_UNKNOWN` as a person writes it."""
    return code.lower().replace("_", " ")


def refusal(host: str, status: int, data: bytes, retry_after: str, what: str) -> EngineError:
    """The error for an answer that is not the wanted one. `what` could not be done."""
    told = said(data)
    if status == 429:
        return limited(host, told, retry_after, what)
    text = f"{what}: {host} answered {status}{': ' + told if told else ''}"
    if status == 401:
        return Unauthorized(text)
    if status == 403:
        return Denied(text)
    return NotFound(text) if status == 404 else Unavailable(text)


def limited(host: str, told: str, retry_after: str, what: str = "") -> EngineError:
    """Too many requests: said so that a person knows what to do."""
    told = told.removeprefix("toomanyrequests: ")
    when = f"in {retry_after} seconds" if retry_after.isdigit() else "later"
    return Unavailable(
        f"{what + ': ' if what else ''}toomanyrequests: {host} lets this host ask no more for a while"
        f"{' (' + told + ')' if told else ''}: try again {when}, log in (docker login) for a higher limit, "
        "or use a mirror"
    )


def cause_of(error: BaseException) -> BaseException:
    """What urllib3 gave up for."""
    return error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error


def reason_of(error: BaseException) -> str:
    """The innermost cause in words: urllib3 wraps the system's error several times."""
    reason: BaseException = error
    while True:
        inner = getattr(reason, "reason", None) or reason.__cause__ or reason.__context__
        if not isinstance(inner, BaseException) or inner is reason:
            break
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower() if reason.errno else reason.strerror
    return str(reason) or type(reason).__name__
