"""Calls of AWS by boto3, and what its refusals mean to a person. boto3 is imported with the first call.

Credentials come from AWS's own chain (environment, ~/.aws, SSO, instance role) and are neither kept nor shown.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any, Final

from machine.errors import Conflict, Denied, MachineError, Unavailable, Unsupported, Usage

# Raised by botocore before anything is sent: the chain found nothing usable.
_NO_CREDENTIALS: Final = (
    "NoCredentialsError",
    "PartialCredentialsError",
    "CredentialRetrievalError",
    "NoAuthTokenError",
    "LoginRefreshRequired",
    "SSOTokenLoadError",
    "UnauthorizedSSOTokenError",
    "TokenRetrievalError",
    "SSOError",
)
_BAD_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_NOT_ALLOWED: Final = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
_BUSY: Final = frozenset({"RequestLimitExceeded", "Throttling", "ThrottlingException"})
_BROKEN: Final = frozenset({"InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"})


class Refused(MachineError):
    """A refusal that the caller had said it can handle. `code` is AWS's, the text is AWS's own."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Aws:
    """One account, as one profile of the AWS configuration sees it (None: the chain's default). For many threads."""

    def __init__(self, profile: str | None) -> None:
        self.profile = profile
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()  # boto3's sessions are for one thread, its clients for many

    def default_region(self) -> str | None:
        with self._lock:
            found = os.environ.get("AWS_REGION") or self._open().region_name
        return str(found) if found else None

    def known_regions(self, service: str = "ec2") -> list[str]:
        """The regions that this boto3 knows, of all partitions; nothing is asked."""
        with self._lock:
            session = self._open()
            return sorted(
                region
                for partition in session.get_available_partitions()
                for region in session.get_available_regions(service, partition)
            )

    def call(
        self,
        region: str,
        operation: str,
        *,
        service: str = "ec2",
        expect: tuple[str, ...] = (),
        **request: Any,
    ) -> dict[str, Any]:
        """One call (`operation` in boto3's spelling). Refused for codes in `expect`; else a sentence for people."""
        import botocore.exceptions as errors

        try:
            answer: dict[str, Any] = getattr(self._client(service, region), operation)(**request)
        except errors.ClientError as error:
            said = error.response.get("Error", {})
            code, text = str(said.get("Code", "?")), str(said.get("Message", error))
            if code in expect:
                raise Refused(code, text) from error
            raise self._refusal(code, text, operation, region, error.response) from error
        except errors.BotoCoreError as error:
            raise self._failure(error, region) from error
        return answer

    def pages(
        self, region: str, operation: str, key: str, *, service: str = "ec2", **request: Any
    ) -> Iterator[dict[str, Any]]:
        """The items below `key` of all pages of a listing."""
        token: dict[str, Any] = {}
        while True:
            answer = self.call(region, operation, service=service, **request, **token)
            yield from answer.get(key, ())
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        with self._lock:
            if (service, region) not in self._clients:
                config = Config(
                    retries={"mode": "standard", "total_max_attempts": 5},
                    connect_timeout=5,
                    read_timeout=60,
                    user_agent_extra="pymachine",
                    max_pool_connections=32,
                )
                self._clients[service, region] = self._open().client(
                    service, region_name=region, config=config
                )
            return self._clients[service, region]

    def _open(self) -> Any:
        """The session; the caller holds the lock."""
        if self._session is None:
            import boto3
            import botocore.exceptions as errors

            try:
                self._session = boto3.Session(profile_name=self.profile)
            except errors.ProfileNotFound as error:
                raise Denied(
                    f"there is no profile {self._named()} in ~/.aws. Nothing was made. Name another with "
                    "-o profile=NAME (aws configure list-profiles), or make it (aws configure --profile NAME)"
                ) from error
        return self._session

    def _named(self) -> str:
        return f'"{self.profile or os.environ.get("AWS_PROFILE") or "default"}"'

    def _refusal(
        self, code: str, text: str, operation: str, region: str, response: dict[str, Any]
    ) -> MachineError:
        if code == "RequestExpired" or "not yet current" in text or "Signature expired" in text:
            return Denied(
                f"AWS finds the time of this request wrong ({text}): set this computer's clock (timedatectl)"
            )
        if code in _BAD_CREDENTIALS:
            renew = "aws sso login" if code.startswith("ExpiredToken") else "aws configure, aws sso login"
            return Denied(
                f"AWS refused the credentials of profile {self._named()} ({code}). Renew them ({renew}), or "
                "name others with -o profile=NAME"
            )
        if code in _NOT_ALLOWED:
            return Denied(
                f"the credentials of profile {self._named()} may not do {_action(operation)} in {region}: "
                f"ask who gives rights in this account, or name others with -o profile=NAME ({_short(text)})"
            )
        if code == "OptInRequired":
            return Unsupported(
                f"the region {region} is not enabled in this account: enable it (aws account enable-region "
                f"--region-name {region}), or name another with -o region=REGION"
            )
        if code in _BUSY:
            return Unavailable(
                f"AWS asks for fewer calls ({code}): wait a minute, then run the command again"
            )
        if code in _BROKEN:
            return Unavailable(
                f"AWS could not do {_action(operation)} in {region} ({code}): run it again later"
            )
        kind = Conflict if code.endswith((".Duplicate", "AlreadyExists")) else MachineError
        return kind(f"AWS refused {_action(operation)} in {region}: {_short(text)} ({code})")

    def _failure(self, error: Exception, region: str) -> MachineError:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds.intersection(_NO_CREDENTIALS):
            return Denied(
                f"there are no usable AWS credentials ({_short(str(error))}). Nothing was made. Log in "
                "(aws sso login), set them up (aws configure), or name a profile with -o profile=NAME"
            )
        if kinds.intersection({"InvalidRegionError", "NoRegionError"}):
            return Usage(f'"{region}" is no region: write one as eu-central-1 (aws ec2 describe-regions)')
        if kinds.intersection({"HTTPClientError", "ConnectionError"}):
            return Unavailable(
                f"AWS cannot be reached ({_short(str(error))}): is there a network, and is {region} right?"
            )
        return MachineError(f"boto3 could not ask AWS: {_short(str(error))}")


class Profiles:
    """An Aws for each profile, made once: what a driver has."""

    def __init__(self) -> None:
        self._made: dict[str | None, Aws] = {}

    def get(self, profile: str | None) -> Aws:
        return self._made.setdefault(profile or None, Aws(profile or None))


def _action(operation: str) -> str:
    """`run_instances` as IAM and AWS's manuals write it."""
    return "".join(word.capitalize() for word in operation.split("_"))


def _short(text: str) -> str:
    """AWS's sentence without the encoded message that may follow, and without its own full stop."""
    return (
        text.split("Encoded authorization failure", maxsplit=1)[0].strip().splitlines()[0][:300].rstrip(". ")
    )
