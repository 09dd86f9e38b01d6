"""``Runner``: ships the working directory as an application, and makes services of objects."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flamepy.config import FlameContext
from flamepy.config.values import DEFAULT_EXCLUDES
from flamepy.core.cache import ObjectRef, delete_objects, put_object
from flamepy.core.cache import get_object as get_object
from flamepy.core.client import (
    get_application,
    register_application,
    unregister_application,
)
from flamepy.core.client import open_session as open_session
from flamepy.core.client import short_name as short_name
from flamepy.core.closing import ClosesAtExit
from flamepy.errors import FlameError, FlameErrorCode, NotFoundError
from flamepy.informers.informer import TaskInformer
from flamepy.runner import packaging
from flamepy.runner.futures import ObjectFuture, ObjectFutureIterator, checked, gathered
from flamepy.runner.progress import Steps, followed
from flamepy.runner.services import RunnerService, checked_informer
from flamepy.runner.storage import StorageBackend, create_storage_backend
from flamepy.runner.types import RunnerContext as RunnerContext
from flamepy.runner.types import RunnerRequest as RunnerRequest
from flamepy.runner.types import SessionContext as SessionContext
from flamepy.texts import repr_of
from flamepy.types import (
    FLAME_INSTANCE_ENDPOINT,
    Application,
    ApplicationAttributes,
    ResourceRequirement,
    Shim,
)
from flamepy.types import SessionAttributes as SessionAttributes
from flamepy.wire import validation

logger = logging.getLogger(__name__)

LARGE_PACKAGE = 100 << 20  # bytes


class Runner(ClosesAtExit):
    """An application made of the working directory; ``with`` removes it at the end.

    The constructor packs the working directory, stores the package, and registers the application.
    If an application of that name exists, it is used as it is, and stays after ``close``.

    Args:
        name: the application's name.
        fail_if_exists: raise if there is an application of that name.
        dependencies: requirements to install, such as ``["numpy>=2"]``; for a folder without
            pyproject.toml, setup.py and setup.cfg, which say it themselves.
        python_version: the Python of the executors, such as ``"3.11"``; by default the cluster's
            choice.
        informer: receives the changes of every task of this runner's services.

    Raises:
        FlameError: ALREADY_EXISTS; the name breaks a rule; the storage, the object cache or the
            engine refuses. What was done before is undone.
    """

    def __init__(
        self,
        name: str,
        fail_if_exists: bool = False,
        dependencies: Sequence[str] | None = None,
        python_version: str | None = None,
        *,
        informer: TaskInformer | None = None,
    ) -> None:
        self._name = validation.application_name(name)
        self._fail_if_exists = fail_if_exists
        self._dependencies = packaging.check_dependencies(dependencies)
        self._python_version = python_version
        self._informer = checked_informer(informer)
        self._context = FlameContext()
        self._app_registered = False
        self._started = False
        self._services: list[RunnerService] = []
        self._undo: list[tuple[str, Callable[[], object]]] = []
        self._start()

    def __repr__(self) -> str:
        return f"<Runner {self._name}>"

    @property
    def name(self) -> str:
        """The application's name."""
        return self._name

    def service(
        self,
        execution_object: Any,
        autoscale: bool | None = None,
        warmup: int = 0,
        resreq: ResourceRequirement | None = None,
        *,
        informer: TaskInformer | None = None,
    ) -> RunnerService:
        """Run an object on the cluster; arguments as of ``RunnerService``."""
        made = RunnerService(
            self._name,
            execution_object,
            autoscale=autoscale,
            warmup=warmup,
            resreq=resreq,
            informer=informer or self._informer,
        )
        self._services.append(made)
        return made

    def get(self, futures: Iterable[ObjectFuture], timeout: float | None = None) -> list[Any]:
        """Wait for calls and return their results in order; the first error is raised.

        Args:
            futures: of services of any runner.
            timeout: seconds for all of them together.
        """
        return gathered(futures, timeout)

    def ref(self, futures: Iterable[ObjectFuture]) -> list[ObjectRef]:
        """Wait for calls and return where their results are, in order."""
        return [future.ref() for future in checked(futures)]

    def wait(
        self,
        futures: Iterable[ObjectFuture],
        timeout: float | None = None,
        *,
        progress: bool = False,
    ) -> None:
        """Wait for calls; the first error is raised, and no result is fetched.

        Args:
            futures: of services of any runner.
            timeout: seconds for all of them together.
            progress: show how many have ended: a bar by ``rich`` on a terminal, else lines.
        """
        waited = checked(futures)
        followed(waited, timeout, show=progress)
        for future in waited:
            future.wait(0)

    def select(self, futures: Iterable[ObjectFuture]) -> ObjectFutureIterator:
        """Return an iterator over futures in the order in which their calls end."""
        return ObjectFutureIterator(futures)

    def put_object(self, obj: Any) -> ObjectRef:
        """Store an object that calls of every service may take as an argument."""
        return put_object(f"{self._name}/shared", obj)

    def close(self) -> None:
        """Close the services' sessions, then remove what the constructor made. Idempotent.

        Waits a while for calls that run. What could not be removed is logged.
        """
        if not self._started:
            return
        self._started = False
        services, self._services = self._services, []
        try:
            for service in reversed(services):
                if not (service._joined and not self._app_registered):
                    _tried(f"close {repr_of(service)}", service.close)
        except BaseException:  # Ctrl-C while calls are waited for
            logger.warning(
                "%s was interrupted while it closed: its application, its package and what is "
                "open of the sessions %s stay; when their calls have ended, close each by "
                "flamepy.core.open_session(ID).close(), and run `flamepy apps unregister %s`",
                repr_of(self),
                ", ".join(service.session_id for service in services),
                self._name,
            )
            raise
        if not self._app_registered:
            for service in services:
                if not service._joined:
                    prefix = service._prefix
                    _tried(f"delete the objects {prefix}", partial(delete_objects, prefix))
        self._roll_back()

    def __enter__(self) -> Runner:
        if not self._started:
            self._start()
        return self

    def _start(self) -> None:
        existing = get_application(self._name)
        if existing is not None:
            if self._fail_if_exists:
                raise FlameError(
                    FlameErrorCode.ALREADY_EXISTS,
                    f"Application '{self._name}' already exists. Set fail_if_exists=False to "
                    "skip registration.",
                )
            self._started = True
            self._compare(existing)
            return
        try:
            self._publish()
        except BaseException:
            self._roll_back()
            raise
        self._started = True

    def _compare(self, existing: Application) -> None:
        """Warn if an application that is used as it is has another package than this one's."""
        theirs = (existing.url or "").rsplit("/", 1)[-1]
        if FLAME_INSTANCE_ENDPOINT not in os.environ and theirs.startswith(f"{self._name}-"):
            try:
                with tempfile.TemporaryDirectory() as folder:
                    ours = self._create_package(folder).name
            except OSError:  # a file that cannot be read: nothing has to be packed
                ours = theirs
            if ours != theirs:
                logger.warning(
                    "application %s exists and is used as it is: what calls import is of its "
                    "package %s, not of the working directory as it is now (%s); choose another "
                    "name, or, if it was left by a program that was killed, close its sessions "
                    "and run `flamepy apps unregister %s`",
                    *(self._name, theirs, ours, self._name),
                )
                return
        logger.info("application %s exists and is used as it is", self._name)

    def _publish(self) -> None:
        """Pack, store and register; each step says how it is undone."""
        template = self._template()
        with Steps(f"runner {self._name}") as steps, tempfile.TemporaryDirectory() as folder:
            steps.show("packing the working directory")
            archive = self._create_package(folder)
            storage = self._storage()
            steps.show(f"storing {archive.name} ({archive.stat().st_size} bytes)")
            url = storage.upload(str(archive), archive.name)
            self._undo.append(
                (f"delete the package {archive.name}", lambda: storage.delete(archive.name))
            )
            steps.show("registering the application")
            register_application(self._name, self._attributes(template, url))
        self._app_registered = True
        self._undo.append(
            (f"delete the objects of {self._name}", lambda: delete_objects(f"{self._name}/*"))
        )
        self._undo.append((f"unregister {self._name}", lambda: unregister_application(self._name)))

    def _roll_back(self) -> None:
        """Undo what was done, the last first."""
        self._app_registered = False
        while self._undo:
            what, undo = self._undo.pop()
            _tried(what, undo)

    def _template(self) -> Application:
        name = self._context.runner.template or "flmrun"
        found = get_application(name)
        if found is None:
            raise NotFoundError(
                f"the runner's template application {repr_of(name)} does not exist: register "
                "it, or name another one in the configuration (runner.template)"
            )
        return found

    def _storage(self) -> StorageBackend:
        package = self._context.package
        return create_storage_backend(package.storage if package is not None else None, self._name)

    def _excludes(self) -> list[str]:
        package = self._context.package
        more = package.excludes if package is not None else DEFAULT_EXCLUDES
        return list(dict.fromkeys([*packaging.EXCLUDES, *more]))

    def _should_exclude(self, name: str, patterns: Sequence[str]) -> bool:
        return packaging.excluded(name, patterns)

    def _create_package(self, folder: str | None = None) -> Path:
        """Write the package of the working directory; return its path."""
        where = Path(folder or tempfile.mkdtemp())
        source = Path(os.getcwd())
        has = packaging.has_metadata(source)
        extra = {}
        if has is None:
            extra["pyproject.toml"] = packaging.pyproject(self._name, self._dependencies)
        elif self._dependencies:
            logger.warning(
                "dependencies=%r is not used: %s of the working directory says what to install",
                self._dependencies,
                has,
            )
        written = where / "package.tar.gz"
        content = packaging.write_archive(source, written, patterns=self._excludes(), extra=extra)
        if written.stat().st_size > LARGE_PACKAGE:
            logger.warning(
                "the package of %s has %d MB: start in a folder with the code alone, or leave out "
                "what is not needed by package.excludes of the configuration",
                source,
                written.stat().st_size >> 20,
            )
        return written.rename(where / f"{self._name}-{content}.tar.gz")

    def _attributes(self, template: Application, url: str) -> ApplicationAttributes:
        environments = dict(template.environments or {})
        if self._python_version:
            environments["FLAME_PYTHON_VERSION"] = self._python_version
        folder = template.working_directory
        return ApplicationAttributes(
            shim=Shim.HOST,
            image=template.image,
            description=f"Runner application: {self._name}",
            labels=template.labels,
            command=template.command,
            arguments=template.arguments,
            environments=environments,
            working_directory=f"{folder}/{self._name}" if folder else None,
            max_instances=template.max_instances,
            delay_release=template.delay_release,
            schema=template.schema,
            url=url,
            installer=template.installer,
        )


def _tried(what: str, act: Callable[[], object]) -> None:
    """Do a part of a clean-up; what fails is logged, and the rest is done."""
    try:
        act()
    except FlameError as error:
        logger.warning("could not %s: %s", what, error)
