"""Failures as one message in a chat, and another one when it is over; a stand-in plays the chat."""

import tempfile
from pathlib import Path

from chat import Chat, chat
from flamepy_notify import Notify

from flamepy.core import FlameService, TaskContext, connect
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


class Render(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input:
            raise OSError(context.input.decode())
        return b"a frame"


def main(url: str, folder: Path) -> None:
    alerts = Notify(
        channel="slack",
        url=url,
        collect=1.0,
        recover_after=1.0,
        templates={"recovered": "{scope} has recovered; {count} {tasks} had failed"},
    )
    with (
        LocalCluster() as cluster,
        connect(cluster.endpoint) as connection,
        Reactor(connection=connection, checkpoint=folder / "state.db") as reactor,
    ):
        cluster.register_service("render", Render)
        registration = reactor.register(alerts, uid="alerts", application="render", replay="none")
        registration.wait_synced(timeout=10)
        with connection.create_session("render") as session:
            for reason in (b"disk full",) * 4 + (b"no license",):
                session.run(reason)
            Chat.alarmed.wait(30)
            while not Chat.recovered.wait(0.2):
                session.invoke(b"", timeout=30)


if __name__ == "__main__":
    with chat() as url, tempfile.TemporaryDirectory() as made:
        main(url, Path(made))
