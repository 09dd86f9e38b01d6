"""Mistakes that a checker must find: each in a line that ends with ``# wrong``."""

from flamepy.core import FlameService, TaskContext, TaskInformer, connect, create_session
from flamepy.errors import FlameError
from flamepy.informers import Reactor, TaskEvent
from flamepy.types import ResourceRequirement, SessionAttributes, Task


class Alerts(TaskInformer):
    def on_failed(self, event: Task) -> None:  # wrong
        print(event)

    def on_update(self, task: Task) -> int:  # wrong
        return 1


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> str:  # wrong
        return "text"


def calls(event: TaskEvent) -> None:
    create_session("echo").invoke("text")  # wrong
    create_session("echo", timeout="1")  # wrong
    len(create_session("echo").invoke(b"x"))  # wrong
    connect("http://h:1", patience="long")  # wrong
    FlameError("no code")  # wrong
    SessionAttributes()  # wrong
    ResourceRequirement.from_string(4)  # wrong
    event.task.state = 3  # wrong
    print(event.tusk)  # wrong
    Reactor().register("no informer")  # wrong
    Reactor().register(Alerts(), retry=3)  # wrong
    Reactor().on.faild(print)  # wrong
    Reactor().on.failed(retry=3)  # wrong
    Reactor().on.failed(aplication="echo")  # wrong
