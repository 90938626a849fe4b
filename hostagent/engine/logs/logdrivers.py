"""Log drivers and their options: what may be asked (at create), and what it means (at start). Texts are dockerd's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hostagent.engine.container import Container
from hostagent.engine.limits import units
from hostagent.engine.logs import logtag
from hostagent.engine.logs.logfiles import LogFiles
from hostagent.engine.logs.logformats import JsonFormat, LocalFormat
from hostagent.errors import EngineError, Invalid, Unsupported
from hostagent.runtime import journal
from hostagent.runtime.logplan import LogPlan
from hostagent.wire import LogConfig

DEFAULT = LogConfig(type="json-file", config={})
DRIVERS = ("journald", "json-file", "local", "none")
UNBUILT = ("awslogs", "fluentd", "gcplogs", "gelf", "splunk", "syslog")
"""Those that dockerd has and we do not."""

_FILES = ("max-size", "max-file", "compress")
_DETAILS = ("labels", "labels-regex", "env", "env-regex", "tag")
_OPTIONS = {"json-file": (*_FILES, *_DETAILS), "local": _FILES, "journald": _DETAILS}
_UNKNOWN = {
    "json-file": "unknown log opt '{}' for json-file log driver",
    "local": "unknown log opt '{}' for log driver local",
    "journald": "unknown log opt '{}' for journald log driver",
}
LOCAL_SIZE = 20 * 1024 * 1024
LOCAL_FILES = 5
DEFAULT_BUFFER = 1_000_000
ATTRIBUTES_MAX = 16 * 1024
"""Characters that each line carries; they travel to the shim in one datagram, too."""


def complete(given: LogConfig, default: LogConfig) -> LogConfig:
    """With the daemon's defaults where nothing was said. Invalid or Unsupported for what cannot be."""
    driver = given.type or default.type
    options = dict(given.config or {})
    if driver == default.type:
        options = {**(default.config or {}), **options}
    check(driver, options)
    return LogConfig(type=driver, config=options)


def check(driver: str, options: Mapping[str, str]) -> None:
    """The driver's and the options' names, and the mode. Other values are looked at when the container starts."""
    if driver == "none":
        return
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise Invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            units.ram_in_bytes(options["max-buffer-size"])
        except ValueError as error:
            raise Invalid(f"error parsing option max-buffer-size: {error}") from None
    if driver in UNBUILT:
        raise Unsupported(f"log driver {driver!r} is not supported yet: use one of {', '.join(DRIVERS)}")
    if driver == "logentries":
        raise Invalid("the logentries logging driver has been deprecated and removed")
    if driver not in DRIVERS:
        raise Invalid(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    for name in sorted(options):
        if name not in ("mode", "max-buffer-size", *_OPTIONS[driver]):
            raise Invalid(_UNKNOWN[driver].format(name))


def plan(container: Container) -> LogPlan:
    """For the shim. EngineError, as dockerd's start says it, for values that are wrong."""
    config = container.host.log_config
    try:
        made = _plan(container, config.type, config.config or {})
        if sum(map(len, made.attributes.values())) > ATTRIBUTES_MAX:
            raise ValueError(
                f"the labels and variables of log-opts are more than {ATTRIBUTES_MAX} characters together: choose fewer"
            )
        return made
    except (ValueError, Invalid) as error:
        raise EngineError(
            f"failed to create task for container: failed to initialize logging driver: {error}"
        ) from None


def path(container: Container) -> str:
    """Of the file that is written now; "" for drivers without files."""
    match container.host.log_config.type:
        case "json-file":
            return f"{container.directory}/{container.id}-json.log"
        case "local":
            return f"{container.directory}/local.log"
        case _:
            return ""


def files(container: Container) -> LogFiles:
    """For reading."""
    config = container.host.log_config
    local = config.type == "local"
    try:
        number = _plan(container, config.type, config.config or {}).max_files
    except (ValueError, Invalid):
        number = 1  # it could never start
    return LogFiles(path(container), LocalFormat() if local else JsonFormat(), number)


def _plan(container: Container, driver: str, options: Mapping[str, str]) -> LogPlan:
    buffer = -1
    if options.get("mode") == "non-blocking":
        buffer = (
            units.ram_in_bytes(options["max-buffer-size"]) if "max-buffer-size" in options else DEFAULT_BUFFER
        )
    match driver:
        case "json-file":
            return _json_file(container, options, buffer)
        case "local":
            return _local(container, options, buffer)
        case "journald":
            if not Path(journal.SOCKET).exists():
                raise ValueError("journald is not enabled on this host")
            return LogPlan("journald", attributes=_journal_fields(container, options), buffer=buffer)
        case _:
            return LogPlan("none")


def _json_file(container: Container, options: Mapping[str, str], buffer: int) -> LogPlan:
    size, number, compress = -1, 1, False
    if "max-size" in options:
        size = units.from_human_size(options["max-size"])
        if size <= 0:
            raise ValueError("max-size must be a positive number")
    if "max-file" in options:
        number = units.atoi(options["max-file"])
        if number < 1:
            raise ValueError("max-file cannot be less than 1")
    if "compress" in options:
        compress = units.parse_bool(options["compress"])
        if compress and (number == 1 or size == -1):
            raise ValueError("compress cannot be true when max-file is less than 2 or max-size is not set")
    attributes = details(container, options, lambda key: key)
    if tag := logtag.render(options.get("tag", ""), container):
        attributes["tag"] = tag
    return LogPlan("json-file", path(container), size, number, compress, attributes, buffer)


def _local(container: Container, options: Mapping[str, str], buffer: int) -> LogPlan:
    size, number, compress = LOCAL_SIZE, LOCAL_FILES, True
    for name, parse in (("max-size", units.from_human_size), ("max-file", units.atoi)):
        if name not in options:
            continue
        try:
            value = parse(options[name])
        except ValueError as error:
            raise ValueError(f"invalid value for {name}: {options[name]}: {error}") from None
        size, number = (value, number) if name == "max-size" else (size, value)
    if "compress" in options:
        try:
            compress = units.parse_bool(options["compress"])
        except ValueError as error:
            raise ValueError(f"error reading compress log option: {error}") from None
    if number < 0:
        raise ValueError("max file count cannot be less than 0")
    if compress and number <= 1:
        raise ValueError("compression cannot be enabled when max file count is 1")
    return LogPlan("local", path(container), size, max(number, 1), compress, {}, buffer)


def details(container: Container, options: Mapping[str, str], name: Callable[[str], str]) -> dict[str, str]:
    """Labels and variables that were asked for, by name or by regular expression; `name` turns a key into a field's."""
    env = dict(entry.partition("=")[::2] for entry in container.config.env or () if "=" in entry)
    found: dict[str, str] = {}
    for option, source in (("labels", container.labels), ("env", env)):
        for key in options.get(option, "").split(","):
            if key in source:
                found[name(key)] = source[key]
        if pattern := options.get(f"{option}-regex", ""):
            try:
                wanted = re.compile(pattern)
            except re.error as error:
                raise ValueError(f"error parsing regexp: {error}: `{pattern}`") from None
            found.update({name(key): value for key, value in source.items() if wanted.search(key)})
    return found


def _journal_fields(container: Container, options: Mapping[str, str]) -> dict[str, str]:
    tag = logtag.render(options.get("tag") or "{{.ID}}", container)
    return {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": container.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": container.config.image,
        "SYSLOG_IDENTIFIER": tag,
        **details(container, options, journal_key),
    }


def journal_key(text: str) -> str:
    """Capitals, digits and underscores, none at the beginning: systemd.journal-fields(7)."""
    return re.sub("[^A-Z0-9]", "_", re.sub("[a-z]", lambda match: match[0].upper(), text)).lstrip("_")
