"""``ListNodes`` of an engine's frontend behind TLS, with its authority and files of all kinds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType

import grpc
import trustme

from flamepy.wire.services import FRONTEND, FRONTEND_SERVICE

HOSTS = ("localhost", "127.0.0.1")


class Authority:
    """A certificate authority of a test, and the files that it makes in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = name
        self.ca = trustme.CA()
        self.ca_file = folder / f"{name}.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *hosts: str, expired: bool = False) -> tuple[Path, Path]:
        """Return the files of a certificate, with its chain, and of its key."""
        days: dict[str, datetime] = {}
        if expired:
            now = datetime.now(timezone.utc)
            days = {
                "not_before": now - timedelta(days=9),
                "not_after": now - timedelta(days=2),
            }
        made = self.ca.issue_cert(*(hosts or HOSTS), **days)
        cert_file, key_file = (
            self._folder / f"{self._name}-{name}.{kind}" for kind in ("pem", "key")
        )
        cert_file.write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
        key_file.write_bytes(made.private_key_pem.bytes())
        return cert_file, key_file


class TlsFrontend:
    """Use it with ``with``; ``ca_file``, ``cert_file`` and ``key_file`` are in its folder."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.ca_file = self.authority.ca_file
        self.cert_file, self.key_file = self.authority.issue("client", "client@example.org")
        self._pool = ThreadPoolExecutor(2)
        self._started: list[grpc.Server] = []

    def start(
        self, *hosts: str, ask_client: bool = False, expired: bool = False, plain: bool = False
    ) -> str:
        """Return ``127.0.0.1:port``: one address, as gRPC names any one's failure of several."""
        server = grpc.server(self._pool)
        method = FRONTEND["ListNodes"]
        list_nodes = grpc.unary_unary_rpc_method_handler(
            lambda request, context: method.response(),
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(FRONTEND_SERVICE, {"ListNodes": list_nodes}),)
        )
        cert_file, key_file = self.authority.issue("server", *hosts, expired=expired)
        pair = (key_file.read_bytes(), cert_file.read_bytes())
        roots = self.ca_file.read_bytes() if ask_client else None
        credentials = grpc.ssl_server_credentials([pair], roots, ask_client)
        if plain:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        self._started.append(server)
        return f"127.0.0.1:{port}"

    def __enter__(self) -> TlsFrontend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in self._started:
            one.stop(0).wait()
        self._pool.shutdown()
