"""``ListNodes`` of an engine's frontend behind TLS, with its authority and a client's files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import grpc
import trustme

from flamepy.wire.services import FRONTEND, FRONTEND_SERVICE


class TlsFrontend:
    """Use it with ``with``; ``ca_file``, ``cert_file`` and ``key_file`` are in its folder."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._certificate = self._authority.issue_cert("localhost", "127.0.0.1")
        client = self._authority.issue_cert("client@example.org")
        self.ca_file, self.cert_file, self.key_file = (
            folder / name for name in ("ca.pem", "client.pem", "client.key")
        )
        self._authority.cert_pem.write_to_path(self.ca_file)
        self.cert_file.write_bytes(client.cert_chain_pems[0].bytes())
        self.key_file.write_bytes(client.private_key_pem.bytes())
        self._pool = ThreadPoolExecutor(2)
        self._started: list[grpc.Server] = []

    def start(self, *, ask_client: bool = False) -> str:
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
        chain = b"".join(one.bytes() for one in self._certificate.cert_chain_pems)
        pair = (self._certificate.private_key_pem.bytes(), chain)
        roots = self._authority.cert_pem.bytes() if ask_client else None
        credentials = grpc.ssl_server_credentials([pair], roots, ask_client)
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
