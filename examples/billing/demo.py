"""Run 300 tasks while the biller is killed five times, then look at what it billed."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from billing import ACCOUNTS, CENTS, LINES
from sqlalchemy import Engine, create_engine, text

from flamepy.core import FlameService, TaskContext, connect
from flamepy.local import LocalCluster

TASKS, KILLS = 300, 5
PAUSE = threading.Event()  # never set


class Render(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        return b"a picture"


def number(engine: Engine, query: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def wait_for_lines(engine: Engine, count: int) -> None:
    limit = time.monotonic() + 120
    while number(engine, "SELECT COUNT(*) FROM invoice_lines") < count:
        if time.monotonic() > limit:
            raise SystemExit("the biller does not bill")
        PAUSE.wait(0.01)


def demonstrate(folder: str) -> None:
    url = os.environ.setdefault("BILLING_DATABASE", f"sqlite:///{folder}/billing.db")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(ACCOUNTS))
        connection.execute(text(LINES))
        connection.execute(text("INSERT INTO accounts VALUES ('render', 0)"))
    biller = [sys.executable, str(Path(__file__).with_name("biller.py"))]
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("render", Render)
        command = [*biller, cluster.endpoint, f"{folder}/checkpoint.db"]
        with made.create_session("render") as session:
            for kill in range(KILLS + 1):
                process = subprocess.Popen(command)
                part = TASKS // (KILLS + 1)
                for future in session.run_many([b"scene"] * part):
                    future.result(timeout=60)
                # Half of this part is billed, more or less, when the kill comes.
                wait_for_lines(engine, part * kill + (part // 2 if kill < KILLS else part))
                if kill < KILLS:
                    process.kill()
                else:
                    process.terminate()
                process.wait(timeout=60)
    lines = number(engine, "SELECT COUNT(*) FROM invoice_lines")
    different = "SELECT COUNT(*) FROM (SELECT DISTINCT session_id, task_id FROM invoice_lines) AS l"
    print(f"{TASKS} tasks succeeded while the biller was killed {KILLS} times")
    print(f"{lines} invoice lines, of {number(engine, different)} different tasks")
    print(f"owed: {number(engine, 'SELECT owed FROM accounts')} cents of {TASKS * CENTS}")
    engine.dispose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made_for_it:
        demonstrate(made_for_it)
