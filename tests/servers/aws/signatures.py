"""Who signed a request: AWS Signature Version 4, verified by botocore's own signer."""

from __future__ import annotations

import re
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY: Final = "AKIAPYMACHINETESTS00"
SECRET: Final = "not-a-secret-of-anybody"
EXPIRED: Final = "an-expired-token"
_HEADER: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, "
    r"SignedHeaders=(?P<headers>[^,]+), Signature=(?P<signature>\w+)"
)


def scope(environ: dict[str, Any]) -> tuple[str, str]:
    """(service, region) that a request is for."""
    match = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    return (match["service"], match["region"]) if match else ("", "")


def complaint(environ: dict[str, Any], body: bytes) -> tuple[str, str] | None:
    """AWS's code and message for what is wrong with a request's credentials."""
    match = _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", ""))
    if match is None:
        return "MissingAuthenticationToken", "Request is missing Authentication Token"
    ec2 = match["service"] == "ec2"
    if environ.get("HTTP_X_AMZ_SECURITY_TOKEN") == EXPIRED:
        text = "The security token included in the request is expired"
        return ("RequestExpired" if ec2 else "ExpiredToken"), text
    if match["key"] != KEY:
        text = "The security token included in the request is invalid."
        return ("AuthFailure" if ec2 else "InvalidClientTokenId"), text
    if _signature(environ, body, match) != match["signature"]:
        text = "The request signature we calculated does not match the signature you provided."
        return ("AuthFailure" if ec2 else "SignatureDoesNotMatch"), text
    return None


def _signature(environ: dict[str, Any], body: bytes, match: re.Match[str]) -> str:
    headers = {name: _header(environ, name) for name in match["headers"].split(";")}
    url = f"http://{environ['HTTP_HOST']}{environ['PATH_INFO']}"
    if environ.get("QUERY_STRING"):
        url += f"?{environ['QUERY_STRING']}"
    request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, headers=headers, data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(match["key"], SECRET), match["service"], match["region"])
    signed: str = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    return signed


def _header(environ: dict[str, Any], name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}", ""))
