"""The same calls as coroutines, on your own event loop."""

import asyncio

from flamepy import aio
from flamepy.core import FlameService, TaskContext
from flamepy.errors import TaskFailedError
from flamepy.local import LocalCluster


class Square(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        return str(int(context.input or b"") ** 2).encode()


async def main(endpoint: str) -> None:
    async with (
        await aio.connect(endpoint) as connection,
        await connection.create_session("square") as session,
    ):
        handles = [await session.run(str(n).encode()) for n in range(5)]
        print(await asyncio.gather(*handles))

        handle = await session.run(b"seven")
        async for update in session.watch_task(handle.task_id):
            last = update.state.name
        print("ended as", last)
        try:
            await handle
        except TaskFailedError as error:
            print("failed:", error.message)


with LocalCluster(executors=2) as cluster:
    cluster.register_service("square", Square)
    asyncio.run(main(cluster.endpoint))
