"""From a process's args to execve: looked up in the container, with the errors in the words that Docker prints."""

from __future__ import annotations

import errno
import os
import signal
import stat
from typing import NoReturn

from hostagent.kernel.fds import owned

_PYTHON_KNOWS = signal.valid_signals()
"""Without the two that the C library keeps to itself."""

NOT_INVOCABLE = frozenset({errno.EACCES, errno.EISDIR, errno.ENOEXEC, errno.EPERM})
"""The program is there but cannot be run: exit code 126; any other error before it runs is 127 (POSIX shell)."""


_FOUND_BEFORE = ("unable to find ", "Unable to find group ", "uids and gids ")
_RELATIVE = "config.json: process.cwd must be absolute"

EXEC_FAILED = 126
"""dockerd's exit code of every exec that could not be started, whatever the reason."""


class StartError(Exception):
    """Init cannot go on; the text is what Docker prints after "unable to start container process: "."""

    def __init__(self, stage: str, number: int, text: str) -> None:
        super().__init__(text)
        self.stage = stage
        self.errno = number


def enter_directory(path: str) -> bool:
    """chdir to the spec's cwd; False when only the container's user may enter it, later.

    Raises StartError when it does not exist, or is outside the container's root (a leaked fd).
    """
    try:
        os.chdir(path)
    except PermissionError:
        return False
    except OSError as error:
        text = f'chdir to cwd ("{path}") set in config.json failed: {_text(error)}'
        raise StartError("cwd", error.errno or 0, text) from None
    if not os.getcwd().startswith("/"):
        raise StartError("cwd", errno.EPERM, "current working directory is outside of the container's root")
    return True


def enter_directory_now(path: str) -> None:
    """As `enter_directory`, for the last time that it can be tried."""
    if not enter_directory(path):
        text = f'chdir to cwd ("{path}") set in config.json failed: permission denied'
        raise StartError("cwd", errno.EACCES, text)


def find(name: str, search: str) -> str:
    """The file that `name` runs, as the current user; `search` is the container's PATH. Raises StartError."""
    if "/" in name:
        try:
            _check(name)
        except FileNotFoundError:
            raise StartError(
                "exec", errno.ENOENT, f"exec: {_quoted(name)}: stat {name}: no such file or directory"
            ) from None
        except OSError as error:
            raise StartError("exec", error.errno or 0, f"exec: {_quoted(name)}: {_text(error)}") from None
        return name
    for directory in search.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check(candidate)
        except OSError:
            continue
        return candidate
    raise StartError("exec", errno.ENOENT, f"exec: {_quoted(name)}: executable file not found in $PATH")


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def execute(path: str, args: tuple[str, ...], env: dict[str, str]) -> NoReturn:
    """Replace this process. Raises StartError when the kernel refuses the file."""
    encoded = {_bytes(key): _bytes(value) for key, value in env.items()}
    try:
        os.execve(_bytes(path), [_bytes(arg) for arg in args], encoded)  # noqa: S606 - a shell is what we avoid
    except OSError as error:
        raise StartError("exec", error.errno or 0, f"exec {path}: {_text(error)}") from None


def environment(entries: tuple[str, ...], home: str) -> dict[str, str]:
    """NAME=value entries as a mapping, the last of a name wins; HOME is added where it is not set."""
    found = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    found.setdefault("HOME", home)
    return found


def forget_signals() -> None:
    """In a fresh fork, while the host's /proc is there: no handler, nothing ignored, nothing blocked.

    Handlers are the parent's business, and what is ignored (python: SIGPIPE, SIGXFSZ; a shim: more) would stay
    ignored over execve. The kernel's own list is read because asking python signal by signal takes ten times longer.
    """
    signal.set_wakeup_fd(-1)
    with owned(os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)) as fd:
        lines = os.read(fd, 1 << 14).split(b"\n")
    changed = 0
    for line in lines:
        if line.startswith((b"SigIgn:", b"SigCgt:")):
            changed |= int(line[8:], 16)
    for number in range(1, changed.bit_length() + 1):
        if changed >> (number - 1) & 1 and number in _PYTHON_KNOWS:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _check(path: str) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not os.access(path, os.X_OK, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(error: OSError) -> str:
    """Go writes the same words in lower case, and Docker's users match on them."""
    return os.strerror(error.errno or 0).lower()


def exec_failure(number: int, text: str) -> str:
    """What dockerd and runc say of a further process that could not be started because of `text` (errno `number`)."""
    if text.startswith(_FOUND_BEFORE):
        return text  # by dockerd itself, before any runtime
    if text.startswith(_RELATIVE):
        return "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown"
    end = ": permission denied" if number == errno.EISDIR else ""
    return f"OCI runtime exec failed: exec failed: unable to start container process: {text}: unknown{end}"
