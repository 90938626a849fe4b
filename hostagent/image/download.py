"""What a build fetches from elsewhere: a file by HTTP, a repository by the program git.

Source: the Dockerfile reference ("ADD"), Docker's API (`remote` of POST /build).
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import shutil
import signal
import subprocess
from email.message import Message
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from hostagent.errors import EngineError, Invalid, NotFound, Unavailable, Unsupported
from hostagent.image.buildjobs import Clone, Download, Downloaded, DownloadJob
from hostagent.image.jobs import Done
from hostagent.image.trees import remove_tree
from hostagent.image.work import open_new
from hostagent.kernel import constants as c
from hostagent.kernel import libc
from hostagent.registry.answers import reason_of

_CHUNK = 1 << 20
_LIMIT = 16 << 30
"""Bytes of one file: a server that never ends has an end here."""
_REDIRECTS = 10
_CONNECT_SECONDS, _READ_SECONDS, _GIT_SECONDS = 10.0, 60.0, 1800.0
_UNNAMED = "download"
_SAFE = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never"),
    *(word for kind in ("git", "http", "https", "ssh") for word in ("-c", f"protocol.{kind}.allow=always")),
)
"""Nothing of the repository is executed, and no file of this host is a repository."""


def perform(job: DownloadJob) -> Downloaded | Done:
    """In a worker's process for one job."""
    return download(job) if isinstance(job, Download) else clone(job)


def download(job: Download) -> Downloaded:
    http = urllib3.PoolManager(
        retries=urllib3.Retry(total=None, connect=0, read=0, redirect=_REDIRECTS, status=0, other=0),
        timeout=urllib3.Timeout(_CONNECT_SECONDS, _READ_SECONDS),
    )
    headers = {"User-Agent": "hostagent", "Accept-Encoding": "identity"}
    try:
        answer = http.request("GET", job.url, headers=headers, preload_content=False)
        if answer.status >= 400:
            raise NotFound(
                f"failed to GET {job.url} with status {answer.status} {answer.reason or ''}".rstrip()
            )
        name = _name(job.url, answer.headers.get("Content-Disposition", ""))
        size, digest = _save(answer, os.path.join(job.into, name), job.url)
    except HTTPError as error:
        raise Unavailable(f"cannot get {job.url}: {reason_of(error)}") from error
    if job.checksum and digest != job.checksum:
        raise Invalid(f"digest mismatch of {job.url}: it is {digest}, and was to be {job.checksum}")
    moment = _moment(answer.headers.get("Last-Modified", ""))
    os.utime(os.path.join(job.into, name), (moment, moment))
    return Downloaded(name, size)


def _save(answer: urllib3.BaseHTTPResponse, path: str, url: str) -> tuple[int, str]:
    """(bytes, digest). Mode 600, as the Dockerfile reference has it."""
    digest, size = hashlib.sha256(), 0
    with open(open_new(path), "wb", buffering=0) as file:
        for piece in answer.stream(_CHUNK):
            size += len(piece)
            if size > _LIMIT:
                raise Invalid(f"{url} has more than {_LIMIT} bytes: fetch it in a RUN")
            digest.update(piece)
            file.write(piece)
    return size, f"sha256:{digest.hexdigest()}"


def _name(url: str, disposition: str) -> str:
    """The last component of the URL's path, else what the server calls the file."""
    path = unquote(urlsplit(url).path)
    message = Message()
    message["Content-Disposition"] = disposition
    for candidate in (path if not path.endswith("/") else "", message.get_filename() or ""):
        name = posixpath.basename(candidate)
        if name not in ("", ".", "..") and "\0" not in name:
            return name
    return _UNNAMED


def _moment(text: str) -> float:
    """Seconds since 1970; 0 for what is no date of HTTP."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0


def clone(job: Clone) -> Done:
    """One commit with its submodules. Without `keep_git` only its files."""
    if shutil.which("git") is None:
        raise Unsupported("a git repository takes the program git, which this host does not have: install it")
    if job.reference.startswith("-") or job.url.startswith("-"):
        raise Invalid(f"{job.url}#{job.reference} is no git repository")
    _git(job, "init", "--quiet", ".")
    commit = _fetch(job)
    _git(job, "checkout", "--quiet", "--detach", commit)
    if job.checksum and not commit.startswith(job.checksum):
        raise Invalid(f"{job.url} is at the commit {commit}, and was to be at {job.checksum}")
    if os.path.lexists(os.path.join(job.into, ".gitmodules")):
        _git(job, "submodule", "update", "--quiet", "--init", "--recursive")
    if not job.keep_git:
        _forget(job.into)
    return Done()


def _fetch(job: Clone) -> str:
    """The commit."""
    wanted = job.reference or "HEAD"
    try:
        _git(job, "fetch", "--quiet", "--depth=1", "--no-tags", "--", job.url, wanted)
        return _commit(job, "FETCH_HEAD")
    except EngineError:
        pass  # a server without that ability, or a commit by its number: all of it, then
    refs = ("+refs/heads/*:refs/remotes/origin/*", "+HEAD:refs/remotes/head")
    _git(job, "fetch", "--quiet", "--tags", "--", job.url, *refs)
    names = [f"refs/tags/{wanted}", f"refs/remotes/origin/{wanted}", wanted]
    for name in names if job.reference else ["refs/remotes/head"]:
        if commit := _commit(job, name):
            return commit
    raise NotFound(f"{job.url} has no {wanted}")


def _commit(job: Clone, name: str) -> str:
    try:
        return _git(job, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    except EngineError:
        return ""


def _git(job: Clone, *words: str) -> str:
    """What it says. Unavailable, with git's own words, when it fails."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    }
    done = subprocess.run(
        ["git", *_SAFE, *words],
        check=False,
        cwd=job.into,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_GIT_SECONDS,
        preexec_fn=lambda: libc.prctl(c.PR_SET_PDEATHSIG, signal.SIGKILL),  # it ends with this job
    )
    if done.returncode:
        raise Unavailable(f"cannot get {job.url}: git {words[0]}: {done.stderr.strip()[:1000]}")
    return done.stdout


def _forget(top: str) -> None:
    for folder, names, files in os.walk(top):
        if ".git" in names:
            names.remove(".git")
            remove_tree(os.fsencode(os.path.join(folder, ".git")))
        if ".git" in files:  # a submodule's, which names the directory above
            os.unlink(os.path.join(folder, ".git"))
