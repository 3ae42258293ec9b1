"""Objects of a bucket by name: put, get, delete. `s3://` and `gs://` through fsspec, a directory by
the library alone.

Whatever goes wrong becomes one of four errors: no such object, no such bucket, no right to it,
cannot be reached.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from runslot.errors import InvalidInput, NotFound, NotInstalled, RunslotError, extra_said, nearest

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}


class Missing(NotFound):
    """There is no such object in the bucket, or not yet."""


class Unreachable(RunslotError):
    """The bucket does not answer; nothing is lost, and the same call may succeed later."""

    retry = True


def check_url(url: str) -> str:
    """Return the address of a bucket without its closing `/`; `InvalidInput` where it is none."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise InvalidInput(
            f"the bucket's address {url!r} has a ? or a #, which its directory's name must not have"
        )
    if parts.scheme == "file" and parts.path.startswith("/"):
        return url.rstrip("/")
    if parts.scheme not in _PACKAGES:
        hint = (
            nearest(parts.scheme, _PACKAGES)
            or "; known are s3://BUCKET/…, gs://BUCKET/… and file:///DIRECTORY"
        )
        raise InvalidInput(f"{url!r} is not the address of a bucket{hint}")
    if not parts.netloc:
        raise InvalidInput(f"{url!r} names no bucket; write {parts.scheme}://BUCKET/…")
    if parts.username or parts.password:
        raise InvalidInput(
            "a bucket's address has no place for credentials: leave them to the cloud's own tools"
        )
    return url.rstrip("/")


def open_store(url: str) -> Store:
    """Return the objects below the address of a bucket; nothing is asked of it yet."""
    url = check_url(url)
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Directory(Path(parts.path))
    package = _PACKAGES[parts.scheme]
    try:
        filesystem = _filesystem(parts.scheme)
    except ImportError as error:
        raise NotInstalled(
            f"{parts.scheme}:// needs the package {package}: {extra_said('cloud')}, or {package}"
            " alone"
        ) from error
    return Bucket(url, filesystem)


def _filesystem(scheme: str) -> Any:
    # Without their caches of listings: what others have written since is what is asked for.
    plain = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme == "gs":
        from gcsfs.core import (
            GCSFileSystem,
        )  # not the one that asks for the kind of the bucket first

        return GCSFileSystem(**plain)
    from s3fs import S3FileSystem

    patience = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 4}}
    filesystem = S3FileSystem(config_kwargs=patience, **plain)
    filesystem.retries = 1  # botocore tries again by itself, with patience of its own
    return filesystem


class Directory:
    """A directory of this machine, or a shared one, in the place of a bucket; an object's name has
    `/` between its parts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"file://{path}"

    def put(self, name: str, data: bytes) -> None:
        """Write an object as a whole, by rename."""
        self._write(self._path / name, data, os.replace)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object where there is none of that name, by a link, which holds on NFS too; of
        several who try, one has True.
        """
        return self._write(self._path / name, data, os.link)

    def _write(self, path: Path, data: bytes, place: Callable[[Path, Path], None]) -> bool:
        # Of this thread alone: equal parts of two files are put at the same moment.
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            try:
                place(temporary, path)
            except FileExistsError:
                return False
        except OSError as error:
            raise Unreachable(f"{path} cannot be written: {error.strerror}") from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return True

    def get(self, name: str) -> bytes:
        """Return an object; `Missing` where there is none."""
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            raise Missing(f"{self._path / name} does not exist") from None
        except OSError as error:
            raise Unreachable(f"{self._path / name} cannot be read: {error.strerror}") from error

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; those that are not there are no error."""
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def names(self, below: str = "") -> dict[str, int]:
        """Return all objects, or those of a directory, by name, each with its size; what a killed
        writer left half-way is one too.
        """
        sizes: dict[str, int] = {}
        for path in (self._path / below).rglob("*"):
            with suppress(FileNotFoundError):  # what is just being written gets another name
                if path.is_file():
                    sizes[path.relative_to(self._path).as_posix()] = path.stat().st_size
        return sizes


class Bucket:
    """A bucket behind fsspec."""

    def __init__(self, url: str, filesystem: Any) -> None:
        self.url = url
        self._filesystem = filesystem
        self._name = f"{url.partition('://')[0]}://{urlsplit(url).netloc}"

    def put(self, name: str, data: bytes) -> None:
        """Write an object as a whole."""
        try:
            self._filesystem.pipe_file(self._at(name), data)
        except Exception as error:  # noqa: BLE001  each SDK has its own: all of them are put into words
            self._refuse(error, writing=True)

    def put_new(self, name: str, data: bytes) -> bool:
        """Write an object where there is none of that name, which the cloud checks; of several who
        try, one has True.
        """
        try:
            self._filesystem.pipe_file(self._at(name), data, mode="create")
        except Exception as error:  # noqa: BLE001
            if isinstance(error, FileExistsError) or _code(error) in _THERE_ALREADY:
                return False
            self._refuse(error, writing=True)
        return True

    def get(self, name: str) -> bytes:
        """Return an object; `Missing` where there is none."""
        try:
            data: bytes = self._filesystem.cat_file(self._at(name))
        except FileNotFoundError as error:
            self._check_bucket(error)
            raise Missing(f"{self.url}/{name} does not exist") from None
        except Exception as error:  # noqa: BLE001
            self._refuse(error)
        return data

    def delete(self, names: Iterable[str]) -> None:
        """Delete objects; what cannot be deleted costs storage, and is no reason to fail."""
        for name in names:
            with suppress(Exception):
                self._filesystem.rm_file(self._at(name))

    def names(self, below: str = "") -> dict[str, int]:
        """Return all objects, or those of a directory, by name, each with its size."""
        root = self._at("").partition("://")[2]
        try:
            objects = self._filesystem.find(f"{root}{below}", detail=True)
        except FileNotFoundError as error:
            self._check_bucket(error)
            return {}
        except Exception as error:  # noqa: BLE001
            self._refuse(error)
        return {
            name.removeprefix(root): int(details["size"])
            for name, details in objects.items()
            if name.startswith(root)
        }

    def _at(self, name: str) -> str:
        return f"{self.url}/{name}"

    def _check_bucket(self, error: Exception) -> None:
        """Refuse where it is the bucket itself that is not there."""
        if _code(error) == "NoSuchBucket":
            self._refuse(error)
        try:
            self._filesystem.info(self._name)
        except FileNotFoundError as missing:
            self._refuse(missing)
        except Exception:  # noqa: BLE001, S110  one may read objects without a right to ask about their bucket
            pass

    def _refuse(self, error: Exception, writing: bool = False) -> NoReturn:
        name = self._name
        code, text = _code(error), str(error) or type(error).__name__
        if isinstance(error, FileNotFoundError) or code in {"NoSuchBucket", "404"}:
            raise Unreachable(
                f"there is no bucket {name}, or no longer; make it, or name another. What it should"
                " hold is still where it was written"
            ) from error
        if type(error).__name__ in {
            "NoCredentialsError",
            "DefaultCredentialsError",
            "PartialCredentialsError",
        }:
            raise InvalidInput(f"no credentials were found for {name}: {_HOW[name[:2]]}") from error
        if code in _NOT_TAKEN or type(error).__name__ == "RefreshError":
            raise InvalidInput(
                f"the credentials for {name} are wrong or have expired ({text}): {_HOW[name[:2]]}"
            ) from error
        if type(error).__name__ in {"ProfileNotFound", "InvalidRegionError", "ConfigParseError"}:
            raise InvalidInput(
                f"{name} cannot be asked ({text}): look at ~/.aws/config and at the variables AWS_…"
            ) from error
        if isinstance(error, PermissionError) or code in {"401", "403", "AccessDenied"}:
            right = "write to" if writing else "read from"
            raise InvalidInput(
                f"these credentials may not {right} {name} ({text}): it may be someone else's. Name"
                " a bucket of yours, or have the right granted"
            ) from error
        hint = _ONLINE.get(name[:2], "") if type(error).__name__ in _OFFLINE else ""
        raise Unreachable(
            f"{name} does not answer ({type(error).__name__}: {text}); nothing is lost{hint}"
        ) from error


Store = Directory | Bucket
"""Where objects lie; both answer the same questions."""

_NOT_TAKEN = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
"""S3's codes for credentials that are nobody's, or nobody's any more."""

_THERE_ALREADY = {"PreconditionFailed", "ConditionalRequestConflict", "409", "412"}
"""Codes of an object that was to be new, and is not, or is just being made by someone else."""

_OFFLINE = {
    "EndpointConnectionError",
    "ConnectTimeoutError",
    "ClientConnectorError",
    "ClientConnectorDNSError",
}
_ONLINE = {
    "s3": (
        ". Is this machine online, and the region right (AWS_DEFAULT_REGION, `aws configure get"
        " region`)?"
    ),
    "gs": ". Is this machine online?",
}

_HOW = {
    "s3": "run `aws configure`, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
}


def _code(error: BaseException | None) -> str:
    """Return the cloud's own code of an error, from the error or its cause."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
        code = getattr(error, "code", None) or getattr(error, "status", None)
        if code:
            return str(code)
        error = error.__cause__
    return ""


_AT_ONCE = 16


def clean(store: Store, names: Collection[str]) -> None:
    """Delete objects; those that are left afterwards are an error. A clean that was killed is begun
    again.
    """
    parts = {name for name in names if "/parts/" in name}
    lists = [name for name in names if name not in parts]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for batch in (lists, parts):  # no reader shall see a list whose parts are gone
            list(pool.map(lambda name: store.delete([name]), batch))
    remaining = store.names()
    if remaining:
        raise RunslotError(
            f"{len(remaining)} objects in {store.url} could not be deleted, as {min(remaining)}: "
            "these credentials may lack the right to delete, or something still writes there"
        )
