"""TLS credentials from the configuration's files. ``channel`` uses them for https."""

from __future__ import annotations

import grpc

from flamepy.config import FlameClientTls
from flamepy.errors import ConfigError
from flamepy.host.paths import expanded
from flamepy.texts import repr_of


def credentials(tls: FlameClientTls | None) -> grpc.ChannelCredentials:
    """Return channel credentials; without files the system's authorities are trusted.

    Raises:
        ConfigError: a file cannot be read; it names the key and the file.
    """
    if tls is None:
        return grpc.ssl_channel_credentials()
    return grpc.ssl_channel_credentials(
        root_certificates=_read("ca_file", tls.ca_file),
        private_key=_read("key_file", tls.key_file),
        certificate_chain=_read("cert_file", tls.cert_file),
    )


def _read(key: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return expanded(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"tls {key} {repr_of(path)} cannot be read: {error.strerror}") from error
