"""TLS of the cluster's frontend: the files, checked, and what gRPC makes of them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import grpc

from flamepy.config import FlameClientTls
from flamepy.errors import ConfigError
from flamepy.host.paths import absolute, expanded
from flamepy.texts import repr_of


@dataclass(frozen=True, slots=True)
class ClusterTls:
    """Files for TLS of a cluster, in PEM.

    Attributes:
        cert_file: its certificate, with the chain to its authority.
        key_file: the certificate's key.
        client_ca: clients must show a certificate that this authority signed; None asks for none.
        ca_file: what clients and services trust to know the cluster by; by default ``cert_file``,
            which Python's gRPC takes as well.
    """

    cert_file: str
    key_file: str
    client_ca: str | None = None
    ca_file: str | None = None

    @property
    def trusted(self) -> str:
        """The file to give to clients and services: FLAME_CA_FILE."""
        return str(absolute(self.ca_file or self.cert_file))

    @property
    def client(self) -> FlameClientTls:
        """What a client without a certificate of its own needs."""
        return FlameClientTls(ca_file=self.trusted)

    def credentials(self) -> grpc.ServerCredentials:
        """Return gRPC's credentials for the server.

        Raises:
            ConfigError: a file cannot be read, or is not what it should be; it is named.
        """
        chain, key = (_read(one) for one in (self.cert_file, self.key_file))
        if self.ca_file is not None:
            _check_authority(self.ca_file)
        roots = None
        if self.client_ca is not None:
            _check_authority(self.client_ca)
            roots = _read(self.client_ca)
        _check_pair(self.cert_file, self.key_file)  # gRPC says nothing of what is wrong
        return grpc.ssl_server_credentials([(key, chain)], roots, roots is not None)


def _read(path: str) -> bytes:
    try:
        return expanded(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"TLS file {repr_of(path)} cannot be read: {error.strerror}") from error


def _check_pair(cert_file: str, key_file: str) -> None:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert, key = (str(expanded(one)) for one in (cert_file, key_file))
    try:
        # An encrypted key must not make us ask for its password.
        settings.load_cert_chain(cert, key, password=lambda: "")
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"TLS files {repr_of(cert_file)} and {repr_of(key_file)} are no certificate with its "
            f"key: {why}; "
            "give two PEM files, the key not encrypted"
        ) from error


def _check_authority(path: str) -> None:
    _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(str(expanded(path)))
    except ssl.SSLError as error:
        why = getattr(error, "reason", None) or str(error)
        raise ConfigError(
            f"TLS file {repr_of(path)} has no certificate of an authority: {why}"
        ) from error
