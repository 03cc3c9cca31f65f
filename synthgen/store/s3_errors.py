"""What an error of the S3 client means: try again, an answer, or the end."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from synthgen.core.errors import MachineError, StorageError, SynthgenError, UsageError

RESUME = "see that the store answers, then run the same command again: it resumes"
CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE, or give the machine a role), "
    "and for a store that is not Amazon's AWS_ENDPOINT_URL_S3; on every node"
)
# Codes of answers that pass: the store is busy, a request collided with another, or bytes were damaged on the way.
PASSING = {
    "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "RequestTimeoutException", "Throttling",
    "ThrottlingException", "TooManyRequests", "OperationAborted", "ConditionalRequestConflict", "BadDigest",
    "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "IncompleteBody",
}  # fmt: skip
CONFLICT, TOO_MANY, UNKNOWN = 409, 429, 501


def meaning(error: Exception, what: str) -> Literal["again"] | int | SynthgenError:
    """What to do after an error.

    Args:
        error: what a call of the client raised.
        what: was being done, for messages.

    Returns:
        "again"; the HTTP status of an answer that says no; or the error to raise. Of an exception that is not the
        client's, a ``SynthgenError`` comes back as it is, and anything else is raised.
    """
    if isinstance(error, SynthgenError):
        return error
    library: Any = importlib.import_module("botocore.exceptions")
    parsers: Any = importlib.import_module("botocore.parsers")
    if isinstance(error, library.ClientError):
        return _answer(error, what)
    if isinstance(error, library.SSLError) and "CERTIFICATE_VERIFY" in str(error):
        return MachineError(f"{what}: {error}", remedy="set AWS_CA_BUNDLE to the store's certificate authority")
    if isinstance(error, library.NoCredentialsError | library.PartialCredentialsError):
        return MachineError(f"{what}: no credentials for the object store", remedy=CREDENTIALS)
    passing = (
        library.ConnectionError,
        library.HTTPClientError,
        library.IncompleteReadError,
        library.CredentialRetrievalError,
        parsers.ResponseParserError,
    )
    if isinstance(error, passing):
        return "again"
    if isinstance(error, library.BotoCoreError):
        return MachineError(f"{what}: {error}", remedy=CREDENTIALS)
    raise error


def refused(what: str, status: int) -> SynthgenError:
    """The error to raise for an answer that says no where that is no answer."""
    if status == UNKNOWN:
        remedy = "use a store that knows conditional puts (If-None-Match)"
        return MachineError(f"{what}: the store does not know this request", remedy=remedy)
    return StorageError(f"{what}: the store says {status}", remedy=RESUME)


def _answer(error: Any, what: str) -> Literal["again"] | int | SynthgenError:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "")), str(told.get("Message", ""))
    said = f"{what}: the store says {status} {code} {message}".strip()
    if code == "NotImplemented" or status == UNKNOWN:
        return UNKNOWN
    if code in PASSING or status >= 500 or status in (CONFLICT, TOO_MANY):
        return "again"
    if code == "NoSuchBucket":
        return UsageError(said, remedy="make the bucket, or mend the URL or AWS_ENDPOINT_URL_S3")
    if code == "ExpiredToken":
        return StorageError(said, remedy="renew the credentials, then run the same command again: it resumes")
    if code == "RequestTimeTooSkewed":
        return MachineError(said, remedy="set this machine's clock")
    if status in (401, 403):
        return MachineError(said, remedy=CREDENTIALS)
    if status in (404, 412):
        return status
    return StorageError(said, remedy=RESUME)
