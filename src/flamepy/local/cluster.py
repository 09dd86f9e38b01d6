"""``LocalCluster``: an engine, its executors and its frontend on one thread of this process.

The thread ``flamepy-cluster`` runs one asyncio loop; services are processes, or threads for those
of ``register_service``. Everything it makes - sockets, folders, processes - goes with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from flamepy.config import Endpoint, FlameContext
from flamepy.errors import (
    AlreadyExistsError,
    ConfigError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
    MissingExtraError,
    UnavailableError,
)
from flamepy.host import platforms
from flamepy.local.background import in_thread
from flamepy.local.engine import Engine
from flamepy.local.frontend import RECEIVE_LIMIT, Frontend
from flamepy.local.life import Life
from flamepy.local.manifest import read_manifest
from flamepy.local.net.listening import check_free, warn_of_others
from flamepy.local.net.serving import Server, Traffic
from flamepy.local.net.tls import ClusterTls
from flamepy.local.object_cache.server import MEMORY, ObjectCache
from flamepy.local.services.environment import launch
from flamepy.local.services.installation import Installations, Installed
from flamepy.local.services.instance import Instance
from flamepy.local.services.kept_logs import KeptLogs
from flamepy.local.services.prepared import PreparedInstance
from flamepy.local.services.process import ProcessInstance
from flamepy.local.services.threads import ServiceSource, ThreadInstance
from flamepy.local.state.applications import default_set
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.dialects import checked_dialect
from flamepy.local.state.journal import Stored
from flamepy.local.state.refusal import Refusal
from flamepy.local.state.totals import ClusterTotals
from flamepy.local.storage.commits import Commits
from flamepy.local.storage.folder import DataFolder
from flamepy.local.storage.thread import StorageThread
from flamepy.runtime.clocks import wall
from flamepy.runtime.forks import leak, on_child
from flamepy.runtime.posted import call
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.runtime.surroundings import check_threads
from flamepy.runtime.threads import check_may_block
from flamepy.texts import repr_of, text_of
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Dialect,
    Node,
    NodeState,
    ResourceRequirement,
)
from flamepy.wire.applications import encode_application_spec
from flamepy.wire.validation import application_attributes, application_name

logger = logging.getLogger(__name__)

T = TypeVar("T")
NAME = "flamepy-cluster"
LEAST_EXECUTORS = 8  # by default
DRAIN = 1.0  # then running tasks are ended, which takes up to process.GRACE: 5 s in all
STOP_LIMIT = 30.0  # a slow disk may take longer than that
OBJECTS = "objects"  # the folder of the object cache in the data folder
LOGS = "logs"  # that of the services' output
NOT_WANTED = "it was made with cache_port=None"

SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),  # a taken port must be noticed
    # An engine answers every ping; gRPC would end connections that ping more than every 5 min.
    ("grpc.http2.max_ping_strikes", 0),
    # Who never speaks HTTP/2, and who is gone without a word, does not hold a socket for ever.
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

App = str | os.PathLike[str] | tuple[str, ApplicationAttributes]


class LocalCluster:
    """A cluster of one machine; use it with ``with``, or ``start`` and ``stop``.

    Args:
        host: address to listen on; anything but loopback lets others run commands here.
        port: 0 picks a free one.
        executors: service processes at once; by default one per CPU, and at least 8: they start as
            tasks come, and tasks that wait for tasks need one each.
        apps: applications to register at the start: manifest files, or (name, attributes).
        bind_timeout: seconds a service has to open its socket.
        data: a folder that keeps applications, sessions and tasks over restarts and kills;
            without one the cluster forgets everything when it stops.
        max_sessions: closed sessions are dropped for good, oldest end first, while there are this
            many sessions or more; by default all are kept.
        task_timeout: seconds after which a task is failed and its service ended; by default a
            task may run for ever.
        tls: files to serve https with; services get ``FLAME_CA_FILE``, to call back.
        cache_port: port of the object cache, 0 picks a free one; None runs without it. Without the
            extra ``cache`` the cluster logs that and runs without it, too.
        cache_memory: bytes of objects that the cache holds in memory at most.
        keep_logs: whether what services write to standard output and standard error stays after
            their end, in ``log_folder``: 256 MiB of it at most, the newest.
        dialect: which engine it is to clients and services, ``"0.6"`` or ``"next"``: the one that
            is released, or its unreleased line (docs/protocol.md#dialects).
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        executors: int | None = None,
        apps: Iterable[App] = (),
        bind_timeout: float = 30.0,
        data: str | os.PathLike[str] | None = None,
        max_sessions: int | None = None,
        task_timeout: float | None = None,
        tls: ClusterTls | None = None,
        cache_port: int | None = 0,
        cache_memory: int = MEMORY,
        keep_logs: bool = False,
        dialect: str = Dialect.OLD,
    ) -> None:
        _check_range("executors", executors, 1)
        _check_range("max_sessions", max_sessions, 1)
        if not 0 <= port <= 65535:
            raise InvalidArgumentError(f"port must be 0 (a free one) to 65535, got {port}")
        self._host = host
        self._port = port
        self._executors = executors or max(os.cpu_count() or 1, LEAST_EXECUTORS)
        self._apps = [_checked(*_named(one)) for one in apps]
        self._bind_timeout = seconds("bind_timeout", bind_timeout, zero=False)
        self._max_sessions = max_sessions
        self._task_timeout = seconds_or_none("task_timeout", task_timeout, zero=False)
        self._tls = tls
        self._dialect = checked_dialect(dialect)
        self._folder = DataFolder(data) if data is not None else None
        self._cache: ObjectCache | None = None
        self._no_cache = NOT_WANTED
        self._keep_logs = keep_logs
        self._logs: KeptLogs | None = None
        if cache_port is not None:
            self._make_cache(cache_port, cache_memory)
        self._storage: StorageThread | None = None
        self._services: dict[str, ServiceSource] = {}
        self._life: Life | None = None
        self._engine: Engine | None = None
        self._server: Server | None = None
        self._installations: Installations | None = None
        self._traffic = Traffic()
        self._parent = 0  # the process that it was forked away from
        self._endpoint: str | None = None

    def __repr__(self) -> str:
        where = f" in process {self._parent}" if self._parent else ""
        return f"<LocalCluster {self._endpoint or 'not running'}{where}>"

    @property
    def endpoint(self) -> str:
        """``http://host:port`` of the running cluster; https with ``tls``."""
        if self._endpoint is None:
            raise InvalidStateError("the cluster is not running: call start(), or use with")
        return self._endpoint

    @property
    def has_cache(self) -> bool:
        """True if it has an object cache: it is wanted, and the extra ``cache`` is installed."""
        return self._cache is not None

    @property
    def cache_endpoint(self) -> str:
        """``grpc://host:port`` of the running cluster's object cache; grpc+tls with ``tls``.

        Raises:
            InvalidStateError: the cluster does not run, or without a cache; the text says why.
        """
        if self._cache is None:
            raise InvalidStateError(f"the cluster has no object cache: {self._no_cache}")
        if self._endpoint is None:
            raise InvalidStateError("the cluster is not running: call start(), or use with")
        return self._cache.endpoint

    @property
    def log_folder(self) -> Path | None:
        """Where the output of services stays: in the data folder, else until the cluster stops.

        None without ``keep_logs``, and while the cluster does not run.
        """
        return None if self._logs is None else self._logs.folder

    def totals(self) -> ClusterTotals:
        """Return what there is of sessions, tasks and executors.

        Raises:
            InvalidStateError: the cluster does not run, or this thread must not block.
        """
        self._check_here()
        if self._endpoint is None:
            raise InvalidStateError("the cluster is not running: call start(), or use with")
        return self._call(self._totals())

    async def _totals(self) -> ClusterTotals:
        if self._engine is None:
            raise InvalidStateError("the cluster is not running: it was stopped meanwhile")
        return self._engine.totals()

    @property
    def context(self) -> FlameContext:
        """A configuration that names the running cluster, and its object cache."""
        tls = self._tls.client if self._tls else None
        cache = self.cache_endpoint if self._cache is not None else None
        return FlameContext(self.endpoint, tls=tls, cache_endpoint=cache, cache_tls=tls)

    def _make_cache(self, port: int, memory: int) -> None:
        folder = self._folder.path / OBJECTS if self._folder is not None else None
        try:
            self._cache = ObjectCache(
                host=self._host, port=port, memory=memory, folder=folder, tls=self._tls
            )
        except MissingExtraError as error:
            self._no_cache = error.message

    # ------------------------------------------------------------------ start, stop

    def start(self) -> LocalCluster:
        """Serve; returns when calls are answered.

        Raises:
            InvalidStateError: it runs already.
            InvalidStateError: another process has the data folder; its pid is named.
            UnavailableError: the port is taken.
            ConfigError: the data folder or its database, or a TLS file, cannot be used.
            FlameError: an application cannot be registered.
        """
        check_may_block()
        self._check_here()
        check_threads()
        if self._life is not None:
            where = f"runs already at {self._endpoint}" if self._endpoint else "has not ended yet"
            raise InvalidStateError(f"the cluster {where}")
        check_free(self._host, self._port)  # here: a name may take long to be looked up
        on_child(self._abandon)
        try:
            life = self._life = Life(self._start, self._stop, self._stop_cache, name=NAME)
            life.start()
        except BaseException:
            with contextlib.suppress(Exception):  # the first one says more
                self.stop()
            raise
        return self

    async def _start(self) -> None:
        stored = await self._open_storage()
        self._logs = self._make_logs()
        await in_thread("flamepy-cache-start", self._start_cache)
        state = ClusterState(
            this_node(),
            now=_now,
            stored=stored,
            max_sessions=self._max_sessions,
            dialect=self._dialect,
        )
        self._engine = Engine(
            state,
            commits=Commits(self._storage),
            instances=self._instance,
            executors=self._executors,
            task_timeout=self._task_timeout,
        )
        for name, attributes in self._apps:
            await self._provide(name, attributes)
        scheme = "http" if self._tls is None else "https"
        wanted = Endpoint(scheme, self._host, self._port).target
        self._server = Server(
            Frontend(self._engine).handler(),
            target=wanted,
            options=SERVER_OPTIONS,
            interrupt=self._engine.interrupt,
            traffic=self._traffic,
            credentials=self._tls.credentials() if self._tls is not None else None,
        )
        try:
            port = await self._server.start()
        except RuntimeError as error:
            raise UnavailableError(f"cannot listen on {wanted}: {text_of(error)}") from error
        address = Endpoint(scheme, self._host, port)
        warn_of_others(address, self._tls)
        self._endpoint = address.url
        self._engine.resume()

    def _make_logs(self) -> KeptLogs | None:
        if not self._keep_logs:
            return None
        assert self._life is not None
        assert self._life.folders is not None
        base = self._folder.path if self._folder is not None else self._life.folders.work
        return KeptLogs(base / LOGS)

    def _start_cache(self) -> None:
        if self._cache is None:
            if self._no_cache != NOT_WANTED:
                logger.warning("running without the object cache: %s", self._no_cache)
            return
        try:
            self._cache.start()
        except InvalidStateError as error:  # a forked child
            self._cache, self._no_cache = None, error.message
            logger.warning("running without the object cache: %s", error.message)
        except FlameError:
            raise  # some of them are OSErrors
        except OSError as error:
            raise ConfigError(
                f"the object cache's folder cannot be used: {text_of(error)}"
            ) from error

    async def _open_storage(self) -> Stored | None:
        if self._folder is None:
            return None
        self._storage = StorageThread(self._folder)
        return await self._storage.open(default_set(_now()))

    def stop(self) -> None:
        """End services, server and thread, within 5 s; remove the folders. Idempotent.

        An exception of a signal handler (Ctrl-C) may cut the wait: the cluster still ends, and
        another call waits for it.

        Raises:
            DeadlineExceededError: it has not ended after 30 s, because of a disk for example.
            InvalidStateError: this thread serves others, and would wait for itself.
        """
        check_may_block()
        life = self._life
        if life is None:
            return
        try:
            life.stop(STOP_LIMIT)
        finally:
            if life.over and self._life is life:
                self._life = None

    async def _stop(self) -> None:
        try:
            await self._stop_serving()
        finally:
            self._engine = self._server = self._endpoint = self._installations = None
            self._logs = None
            storage, self._storage = self._storage, None
            if storage is not None:
                await storage.aclose()

    def _stop_cache(self) -> None:
        if self._cache is not None:
            self._cache.stop()

    async def _stop_serving(self) -> None:
        if self._engine is not None:
            await self._engine.aclose(DRAIN)
        if self._server is not None:
            await self._server.stop(0.1)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _abandon(self) -> None:
        """In a forked child: the cluster lives on in the parent, and nothing here may touch it."""
        life, self._life = self._life, None
        if life is None:
            return
        self._parent = os.getppid()
        if self._folder is not None:
            self._folder.forget()
        life.forget()
        leak(self._engine, self._server, self._storage, self._installations)
        self._engine = self._server = self._storage = self._installations = None

    def _check_here(self) -> None:
        if self._parent:
            raise InvalidStateError(
                f"this cluster runs in process {self._parent}, from which this one was forked; "
                "connect to its endpoint, or make a LocalCluster of your own"
            )

    def __enter__(self) -> LocalCluster:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # ------------------------------------------------------------------ applications

    def register_service(self, name: str, service: ServiceSource, **attributes: Any) -> None:
        """Register an application whose service runs in threads of this process.

        Args:
            name: the application's name.
            service: a ``FlameService`` subclass, made once per executor, or one instance that
                all executors share.
            attributes: of ``ApplicationAttributes``, for example ``delay_release=0``.

        Raises:
            AlreadyExistsError: the name is taken.
            InvalidArgumentError: the name, the service or an attribute is unusable.
            InvalidStateError: gevent or eventlet has patched what the threads need.
        """
        serves = callable(getattr(service, "on_task_invoke", None))
        if not serves and (isinstance(service, type) or not callable(service)):
            raise InvalidArgumentError(
                f"{repr_of(service)} is not a service: give a FlameService subclass or an "
                "instance of one"
            )
        self._check_here()
        check_threads()
        name, spec = _checked(application_name(name), ApplicationAttributes(**attributes))
        if self._life is None:
            self._apps.append((name, spec))
        else:
            self._call(self._aregister(name, spec))
        self._services[name] = service

    async def _aregister(self, name: str, attributes: ApplicationAttributes) -> None:
        await self._register(name, attributes)

    async def _provide(self, name: str, attributes: ApplicationAttributes) -> None:
        """Register an application, or bring the one that an earlier start left up to date."""
        assert self._engine is not None
        if not self._engine.state.applications.find(name):
            await self._register(name, attributes)
        elif not self._engine.state.applications.is_same(name, attributes):
            try:
                await self._engine.update_application(name, attributes)
            except Refusal as refusal:
                raise InvalidStateError(
                    f"application {repr_of(name)} differs from the one in {self._folder_name()} "
                    "and "
                    f"cannot be changed: {refusal.message}"
                ) from refusal

    def _folder_name(self) -> str:
        return str(self._folder.path) if self._folder is not None else "this cluster"

    async def _register(self, name: str, attributes: ApplicationAttributes) -> None:
        assert self._engine is not None
        try:
            await self._engine.register_application(name, attributes)
        except Refusal as refusal:
            kind: type[FlameError] = InvalidArgumentError
            if "already exists" in refusal.message:
                kind = AlreadyExistsError
            raise kind(f"application {repr_of(name)}: {refusal.message}") from refusal  # type: ignore[arg-type]  # subclasses fix the code

    def _instance(self, application: Application, executor_id: str) -> Instance:
        service = self._services.get(application.name)
        if service is not None:
            return ThreadInstance(service, application.name)
        return PreparedInstance(
            application,
            self._installer(),
            lambda installed: self._process(application, executor_id, installed),
        )

    def _installer(self) -> Installations:
        if self._installations is None:
            assert self._life is not None
            assert self._life.folders is not None
            assert self._life.reaper is not None
            environ = {**os.environ, "FLAME_ENDPOINT": self.endpoint}
            if self._cache is not None:
                environ["FLAME_CACHE_ENDPOINT"] = self._cache.endpoint
            if self._tls is not None and self._tls.trusted is not None:
                environ["FLAME_CA_FILE"] = self._tls.trusted
            self._installations = Installations(
                self._life.folders.work / "packages", reaper=self._life.reaper, environ=environ
            )
        return self._installations

    def _process(
        self, application: Application, executor_id: str, installed: Installed | None
    ) -> Instance:
        assert self._life is not None
        assert self._life.folders is not None
        assert self._life.reaper is not None
        plan = launch(
            application,
            executor_id,
            root=self._life.folders.work,
            sockets=self._life.folders.sockets,
            endpoint=self.endpoint,
            cache_endpoint=self._cache.endpoint if self._cache is not None else None,
            ca_file=self._tls.trusted if self._tls is not None else None,
            environ=os.environ,
            package=installed.environment if installed is not None else None,
            dialect=self._dialect,
        )
        if self._logs is not None and self._engine is not None:
            session_id = self._engine.state.executors[executor_id].session_id
            stdout, stderr = self._logs.paths(session_id, executor_id)
            plan = replace(plan, stdout=stdout, stderr=stderr)
        return ProcessInstance(
            plan,
            kept=self._logs,
            bind_timeout=self._bind_timeout,
            reaper=self._life.reaper,
            traffic=self._traffic,
            dialect=self._dialect,
        )

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._life is not None
        assert self._life.loop is not None
        try:
            check_may_block()
        except InvalidStateError:
            coroutine.close()
            raise
        return call(self._life.loop, coroutine)


def _check_range(name: str, value: object, least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidArgumentError(f"{name} must be {least} or more, got {repr_of(value)}")


def _named(app: App) -> tuple[str, ApplicationAttributes]:
    return app if isinstance(app, tuple) else read_manifest(app)


def _checked(name: str, attributes: ApplicationAttributes) -> tuple[str, ApplicationAttributes]:
    """Refuse what no message can carry: it would break every later list of applications."""
    try:
        checked = application_attributes(attributes)
        encode_application_spec(checked)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"application {repr_of(name)}: {error.message}") from error
    except ValueError as error:
        raise InvalidArgumentError(f"application {repr_of(name)}: {text_of(error)}") from error
    return name, checked


def _now() -> int:
    """Return ms since the epoch."""
    return int(wall() * 1000)


def this_node() -> Node:
    """Return this machine as a node: its CPUs and memory, as an executor manager reports it."""
    capacity = ResourceRequirement(cpu=os.cpu_count() or 1, memory=_memory(), gpu=0)
    return Node(
        name=platform.node() or "localhost",
        state=NodeState.READY,
        capacity=capacity,
        allocatable=capacity,
        arch=platform.machine(),
        os=platform.system().lower(),
    )


def _memory() -> int:
    """Return the bytes of memory of this machine; 0 where that cannot be found out."""
    sysconf = platforms.feature("os.sysconf")
    try:
        return int(sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")) if sysconf else 0
    except (ValueError, OSError):  # the system does not know such a number
        return 0
