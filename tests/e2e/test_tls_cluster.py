"""``flamepy up`` and ``LocalCluster`` behind TLS: clients, services that call back, wrong files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.tls import Authority

from flamepy.config import FlameClientTls
from flamepy.core import ApplicationAttributes, connect
from flamepy.errors import ConfigError, TlsError
from flamepy.local import ClusterTls, LocalCluster

# It asks the cluster that runs it, by what its environment says.
CALLS_BACK = """
import os
import flamepy.core as flamepy

class Back(flamepy.FlameService):
    def on_task_invoke(self, context):
        names = [one.name for one in flamepy.list_applications() if one.name == "back"]
        socket = os.environ["FLAME_INSTANCE_ENDPOINT"]
        mode = os.stat(socket).st_mode & 0o777
        return f"{os.environ['FLAME_ENDPOINT']} {names} {mode:o}".encode()

flamepy.run(Back())
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def back(folder: Path) -> ApplicationAttributes:
    script = folder / "back.py"
    script.write_text(CALLS_BACK)
    return ApplicationAttributes(command=sys.executable, arguments=[str(script)])


@pytest.mark.parametrize("named", [True, False], ids=["with an authority", "by its certificate"])
def test_a_service_calls_back_over_tls(named: bool, authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("cluster")
    tls = ClusterTls(str(cert), str(key), ca_file=str(authority.ca_file) if named else None)
    with (
        LocalCluster(tls=tls, executors=1, apps=[("back", back(tmp_path))]) as cluster,
        connect(context=cluster.context) as connection,
    ):
        assert cluster.endpoint.startswith("https://127.0.0.1:")
        answer = connection.create_session("back").invoke(b"", timeout=30)
        assert answer == f"{cluster.endpoint} ['back'] 600".encode()


def test_clients_without_the_right_certificate_are_refused(
    authority: Authority, tmp_path: Path
) -> None:
    cert, key = authority.issue("cluster")
    mine, my_key = authority.issue("client", "me@example.org")
    ca = str(authority.ca_file)
    tls = ClusterTls(str(cert), str(key), client_ca=ca, ca_file=ca)
    with LocalCluster(tls=tls) as cluster:
        with connect(cluster.endpoint, FlameClientTls(ca, str(mine), str(my_key))) as connection:
            assert connection.list_nodes()
        with pytest.raises(TlsError, match="wants a client certificate, and none"):
            connect(context=cluster.context)
        with pytest.raises(TlsError, match="speaks TLS: write https"):
            connect(cluster.endpoint.replace("https", "http"))


def test_up_serves_https(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("cluster")
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--executors", "1"]
    files = ["--tls-cert", str(cert), "--tls-key", str(key), "--tls-ca", str(authority.ca_file)]
    with subprocess.Popen(
        [*command, *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1]
        try:
            assert endpoint.startswith("https://")
            tls = FlameClientTls(str(authority.ca_file))
            with connect(endpoint, tls) as connection:
                connection.register_application("back", back(tmp_path))
                answer = connection.create_session("back").invoke(b"", timeout=30)
                assert answer.startswith(endpoint.encode())
        finally:
            process.terminate()


@pytest.mark.parametrize("options", [("--tls-cert", "x"), ("--tls-key", "x"), ("--client-ca", "x")])
def test_up_wants_both_files(options: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flamepy", "up", "--port", "0", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert "both --tls-cert and --tls-key" in done.stderr


class TestFiles:
    def test_each_that_is_wrong_is_named(self, authority: Authority, tmp_path: Path) -> None:
        cert, key = (str(one) for one in authority.issue("cluster"))
        other = str(authority.issue("other")[1])
        junk = tmp_path / "junk.pem"
        junk.write_text("no PEM\n")
        for tls, says in (
            (ClusterTls("/no/cert.pem", key), r"/no/cert\.pem' cannot be read"),
            (ClusterTls(cert, "/no/key.pem"), r"/no/key\.pem' cannot be read"),
            (ClusterTls(cert, other), "KEY_VALUES_MISMATCH"),
            (ClusterTls(str(junk), key), "no certificate with its key"),
            (ClusterTls(cert, key, client_ca="/no/ca.pem"), r"/no/ca\.pem' cannot be read"),
            (ClusterTls(cert, key, client_ca=str(junk)), r"junk\.pem' has no certificate"),
            (ClusterTls(cert, key, ca_file=str(junk)), r"junk\.pem' has no certificate"),
        ):
            with pytest.raises(ConfigError, match=says):
                LocalCluster(tls=tls).start()
