"""Where packages are stored: a folder, an HTTP server, or the object cache.

``create_storage_backend`` chooses by the URL's scheme. The names and signatures are the official
SDK's.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from flamepy.core.cache import ObjectRef, delete_objects, download_object, upload_object
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of, text_of

PUT_TIMEOUT = GET_TIMEOUT = 300.0  # seconds
DELETE_TIMEOUT = 60.0  # seconds


class StorageBackend(ABC):
    """A place for packages, by file name."""

    @abstractmethod
    def upload(self, local_path: str, filename: str) -> str:
        """Store a file; return the URL that an application's ``url`` takes.

        Raises:
            FlameError: the place cannot be reached, or refuses.
        """

    @abstractmethod
    def delete(self, filename: str) -> None:
        """Remove a file; one that is not there is no error."""

    @abstractmethod
    def download(self, filename: str, local_path: str) -> None:
        """Write a stored file to ``local_path``, whole or not at all."""


class FileStorage(StorageBackend):
    """A folder that every node can read: ``file:///srv/packages``.

    Raises:
        FlameError: INVALID_CONFIG, the folder does not exist.
    """

    def __init__(self, storage_base: str) -> None:
        self._folder = Path(unquote(urlsplit(storage_base).path))
        if not self._folder.is_dir():
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                f"Storage directory does not exist: {self._folder}; make it, or change "
                "package.storage in the configuration",
            )

    def upload(self, local_path: str, filename: str) -> str:
        """Copy a file, under another name until it is whole."""
        target = self._folder / filename
        partial = target.with_name(f".{filename}.{os.getpid()}")
        try:
            shutil.copyfile(local_path, partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return f"file://{quote(str(target))}"

    def delete(self, filename: str) -> None:
        """Remove a file."""
        (self._folder / filename).unlink(missing_ok=True)

    def download(self, filename: str, local_path: str) -> None:
        """Copy a file."""
        source = self._folder / filename
        if not source.is_file():
            raise FlameError(FlameErrorCode.NOT_FOUND, f"{source} does not exist")
        shutil.copyfile(source, local_path)


class HttpStorage(StorageBackend):
    """A server that takes PUT, GET and DELETE below a URL.

    Args:
        storage_base: the URL.
        upload_timeout, delete_timeout, download_timeout: seconds of silence that are waited for.
    """

    def __init__(
        self,
        storage_base: str,
        upload_timeout: float = PUT_TIMEOUT,
        delete_timeout: float = DELETE_TIMEOUT,
        download_timeout: float = GET_TIMEOUT,
    ) -> None:
        self._base = storage_base.rstrip("/")
        self._put_timeout = seconds("upload_timeout", upload_timeout, zero=False)
        self._delete_timeout = seconds("delete_timeout", delete_timeout, zero=False)
        self._get_timeout = seconds("download_timeout", download_timeout, zero=False)

    def upload(self, local_path: str, filename: str) -> str:
        """PUT a file."""
        size = os.path.getsize(local_path)
        with open(local_path, "rb") as file:
            headers = {"Content-Length": str(size), "Content-Type": "application/gzip"}
            self._call("PUT", filename, (200, 201, 204), self._put_timeout, file, headers)
        return self._url(filename)

    def delete(self, filename: str) -> None:
        """DELETE a file."""
        self._call("DELETE", filename, (200, 202, 204, 404), self._delete_timeout)

    def download(self, filename: str, local_path: str) -> None:
        """GET a file."""
        Path(local_path).write_bytes(self._call("GET", filename, (200,), self._get_timeout))

    def _url(self, filename: str) -> str:
        return f"{self._base}/{quote(filename)}"

    def _call(
        self,
        method: str,
        filename: str,
        accepted: tuple[int, ...],
        timeout: float,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        url = self._url(filename)
        request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)  # type: ignore[arg-type]  # a file is sent in pieces
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                status, data = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, data = error.code, b""
            error.close()
        except OSError as error:
            raise FlameError(
                FlameErrorCode.UNAVAILABLE, f"{method} {url} failed: {text_of(error)}"
            ) from error
        if status not in accepted:
            raise FlameError(FlameErrorCode.INTERNAL, f"{method} {url} answered {status}")
        found: bytes = data
        return found


class CacheStorage(StorageBackend):
    """The object cache of the configuration: packages are objects ``<application>/pkg/<file>``.

    Args:
        storage_base: not used; the cache is the configuration's.
        app_name: the application.
    """

    def __init__(self, storage_base: str | None = None, app_name: str | None = None) -> None:
        if not app_name:
            raise FlameError(
                FlameErrorCode.INVALID_CONFIG,
                "packages in the object cache belong to an application: give app_name",
            )
        self._prefix = f"{app_name}/pkg"
        self._endpoint = ""

    def upload(self, local_path: str, filename: str) -> str:
        """Store a file as an object; the URL has the endpoint that the cache answered with."""
        ref = upload_object(f"{self._prefix}/{filename}", local_path)
        self._endpoint = ref.endpoint
        scheme, _, rest = ref.endpoint.partition("://")
        scheme = {"grpc+tls": "grpcs", "grpc+tcp": "grpc"}.get(scheme, scheme)
        return f"{scheme}://{rest.rstrip('/')}/{ref.key}"

    def delete(self, filename: str) -> None:
        """Delete the object."""
        delete_objects(f"{self._prefix}/{filename}")

    def download(self, filename: str, local_path: str) -> None:
        """Fetch the object."""
        download_object(ObjectRef(self._endpoint, f"{self._prefix}/{filename}", 0), local_path)


def create_storage_backend(
    storage_base: str | None = None, app_name: str | None = None
) -> StorageBackend:
    """Return the place that a URL names.

    Args:
        storage_base: ``file://FOLDER``, ``http(s)://...``, ``grpc(s)://...``; None is the object
            cache of the configuration.
        app_name: the application, for the object cache.

    Raises:
        FlameError: INVALID_CONFIG, the scheme is not known, or the folder does not exist.
    """
    scheme = urlsplit(storage_base).scheme if storage_base else "grpc"
    if scheme == "file":
        return FileStorage(str(storage_base))
    if scheme in ("http", "https"):
        return HttpStorage(str(storage_base))
    if scheme in ("grpc", "grpcs", "grpc+tls"):
        return CacheStorage(storage_base, app_name)
    raise FlameError(
        FlameErrorCode.INVALID_CONFIG,
        f"Unsupported storage scheme: {repr_of(scheme)} of {repr_of(storage_base)}; write "
        "file://, http://, https://, grpc:// or grpcs://",
    )
