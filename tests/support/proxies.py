"""Real proxies in front of an engine: nginx and HAProxy, with the settings that a test asks for."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.toolchains import found
from support.waiting import eventually

NGINX = """
daemon off; master_process off; worker_processes 1;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size {body};
  keepalive_requests {requests};
  upstream engine {{ server {engine}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} http2;
    http2_max_concurrent_streams {streams};
    location / {{
      grpc_pass grpc://engine;
      grpc_read_timeout {timeout}s;
      grpc_send_timeout {timeout}s;
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 1000
  tune.h2.max-concurrent-streams {streams}
defaults
  mode http
  timeout connect 2s
  timeout client {timeout}s
  timeout server {timeout}s
frontend clients
  bind 127.0.0.1:{port} proto h2
  default_backend engine
backend engine
  server engine {engine} proto h2
"""
KINDS = [kind for kind in ("nginx", "haproxy") if found(kind)]


@contextmanager
def through(
    kind: str,
    endpoint: str,
    folder: Path,
    *,
    streams: int = 128,
    timeout: int = 2,
    body: str = "8m",
    requests: int = 1000,
) -> Iterator[str]:
    """Run a proxy in front of ``endpoint`` and give its own.

    Args:
        kind: ``nginx`` or ``haproxy``.
        endpoint: of the engine.
        folder: for its files.
        streams: calls at once on a connection.
        timeout: seconds after which a stream that is quiet is cut.
        body: the largest request that nginx takes.
        requests: after so many nginx takes leave of a connection.
    """
    port = _free_port()
    values = {"engine": endpoint.removeprefix("http://"), "folder": folder, "port": port}
    template = NGINX if kind == "nginx" else HAPROXY
    config = folder / f"{kind}.conf"
    config.write_text(
        template.format(streams=streams, timeout=timeout, body=body, requests=requests, **values)
    )
    options = ["-c", str(config), "-p", str(folder)] if kind == "nginx" else ["-f", str(config)]
    with (folder / f"{kind}.log").open("w") as log:
        process = subprocess.Popen(
            [str(found(kind)), *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            eventually(lambda: _listens(port) or process.poll() is not None, f"{kind} to listen")
            assert process.poll() is None, (folder / f"{kind}.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True
