"""``ObjectCache``: the object cache of the embedded cluster, as a server that starts and stops.

pyarrow's server has threads of its own and ends when its last call has. Here it gets a limit: who
has not ended by then is disconnected. Around a fork of this process it is closed and made anew at
the same port (``forks``). What it serves is ``object_cache_flight``'s; this module loads pyarrow
when a cache is made, not before.
"""

from __future__ import annotations

import concurrent.futures
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

from flamepy.config import Endpoint
from flamepy.errors import InvalidArgumentError, ResourceExhaustedError, UnavailableError
from flamepy.host.paths import expanded
from flamepy.host.sockets import shut_down_clients_of
from flamepy.local.net.listening import check_free
from flamepy.local.net.tls import ClusterTls
from flamepy.runtime import threads
from flamepy.runtime.forks import SERVER, check_flight, done, hold, leak, release
from flamepy.texts import repr_of, text_of
from flamepy.wire.objects import check_extra

MEMORY = 1 << 30  # bytes, as an engine has it
GRACE = 0.5  # seconds that calls have to end, before their clients are disconnected
LIMIT = 3.0  # and then


class ObjectCache:
    """The cache's server, its store and its disk; a ``forks.Holder``.

    Args:
        host: address to listen on.
        port: 0 picks a free one.
        memory: bytes of objects in memory at most.
        folder: where objects are kept; None keeps them in memory only.
        tls: files to serve with TLS.

    Raises:
        MissingExtraError: the extra ``cache`` is not installed.
        InvalidArgumentError: a value breaks its rule.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int = 0,
        memory: int = MEMORY,
        folder: Path | None = None,
        tls: ClusterTls | None = None,
    ) -> None:
        if not 0 <= port <= 65535:
            raise InvalidArgumentError(f"cache_port must be 0 (a free one) to 65535, got {port}")
        if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
            raise InvalidArgumentError(
                f"cache_memory must be 1 byte or more, got {repr_of(memory)}"
            )
        check_extra()
        self._host = host
        self._port = port
        self._memory = memory
        self._folder = folder
        self._tls = tls
        self._options: dict[str, Any] = {}  # Any: of pyarrow's server
        self._store: Any = None
        self._server: Any = None
        self._stopped = False
        self._lock = threading.RLock()  # guards the server's coming and going

    @property
    def endpoint(self) -> str:
        """``grpc://host:port`` of the running cache, ``grpc+tls://`` with TLS."""
        scheme = "grpc" if self._tls is None else "grpc+tls"
        return f"{scheme}://{Endpoint('http', self._host, self._port).target}"

    def start(self) -> None:
        """Serve; returns when calls are answered.

        Raises:
            UnavailableError: the port is taken.
            ConfigError: a TLS file cannot be used.
        """
        check_flight()
        check_free(self._host, self._port)
        if self._tls is not None:
            self._options = _tls_options(self._tls)
        store = import_module("flamepy.local.object_cache.store")
        disk = None
        if self._folder is not None:
            disk = import_module("flamepy.local.object_cache.disk").ObjectDisk(self._folder)
        self._store = store.ObjectStore(self._memory, disk)
        hold(self, SERVER, self._listen)  # during a fork, it is made when the fork is over

    def _listen(self) -> bool:
        made = import_module("flamepy.local.object_cache.flight").FlightCache
        with self._lock:
            if self._stopped:
                return True
            try:
                self._server = made(self._store, self.endpoint, **self._options)
            except (OSError, ValueError) as error:
                raise UnavailableError(
                    f"cannot listen on {self.endpoint}: {text_of(error)}"
                ) from error
            self._port = self._server.port
            self._server.endpoint = self.endpoint
        return True

    def stop(self) -> None:
        """End calls and the server, within ``GRACE`` + ``LIMIT`` seconds. Idempotent."""
        with self._lock:
            self._stopped = True
        release(self)
        self._close(GRACE)
        self._store = None

    def _close(self, grace: float) -> bool:
        """End the server; return False if a call still runs."""
        with self._lock:
            server, self._server = self._server, None
        if server is None:
            return True
        try:
            ending = threads.start(server.shutdown, name="flamepy-cache-stop")
        except ResourceExhaustedError:
            shut_down_clients_of(self._port)  # no call runs on, so that this does not wait for one
            server.shutdown()
            return True
        ending.join(grace)
        if ending.is_alive():
            shut_down_clients_of(self._port)
            ending.join(LIMIT)
        if ending.is_alive():
            leak(server)  # freeing it would wait for that call
            return False
        return True

    # ------------------------------------------------------------------ forks

    def pause(self, limit: float) -> concurrent.futures.Future[bool]:
        """Close the server; see ``forks.Holder``."""
        return done(self._close(min(GRACE, limit)))

    def resume(self) -> None:
        """Listen again at the same port."""
        if self._server is None and not self._stopped:
            hold(self, SERVER, self._listen)

    def forget(self, clean: bool) -> None:
        """Keep what is the parent's from being freed in the child."""
        leak(self)


def _tls_options(tls: ClusterTls) -> dict[str, Any]:
    """Return pyarrow's options for what gRPC's Python side was given. Raises ConfigError."""
    tls.credentials()  # checks the files
    chain, key = (expanded(one).read_bytes() for one in (tls.cert_file, tls.key_file))
    options: dict[str, Any] = {"tls_certificates": [(chain, key)]}
    if tls.client_ca is not None:
        roots = expanded(tls.client_ca).read_bytes()
        options |= {"verify_client": True, "root_certificates": roots}
    return options
