"""A web application (Starlette; FastAPI takes the same lifespan) with a reactor on its loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from ends import Ends, Square
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from flamepy import aio
from flamepy.informers import Reactor
from flamepy.local import LocalCluster


class State(TypedDict):
    session: aio.Session
    ends: Ends


async def square(request: Request) -> PlainTextResponse:
    state = request.state
    handle = await state.session.run(str(request.path_params["number"]).encode())
    result, end = await handle, await state.ends.of(handle.task_id)
    return PlainTextResponse(f"{result.decode()} {end}")


def application(endpoint: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with (
            await aio.connect(endpoint) as connection,
            Reactor(connection=connection) as reactor,
            await connection.create_session("square") as session,
        ):
            ends = Ends()
            reactor.register(ends, session=session.id)
            yield {"session": session, "ends": ends}

    return Starlette(routes=[Route("/square/{number:int}", square)], lifespan=lifespan)


if __name__ == "__main__":
    with LocalCluster(executors=2) as cluster:
        cluster.register_service("square", Square)
        with TestClient(application(cluster.endpoint)) as client:
            for number in range(3):
                print(client.get(f"/square/{number}").text)
