"""Configuration: which value wins, where it came from, and what a bad one is told."""

from __future__ import annotations

import errno
import math
import os
import pickle
import pwd
import socket
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.config import (
    DEFAULT_EXCLUDES,
    Endpoint,
    FlameClientTls,
    FlameContext,
    FlameContextRunner,
    FlameInformer,
    FlamePackage,
    without_password,
)
from flamepy.errors import ConfigError, FlameErrorCode
from flamepy.types import RetryPolicy

FULL = """
current-context: two
contexts:
  - name: one
    cluster: {endpoint: "http://one:1111"}
  - name: two
    cluster:
      endpoint: https://two:2222
      tls: {ca_file: /ca.pem, cert_file: /cert.pem, key_file: /key.pem}
    cache:
      endpoint: grpcs://two:3333
      storage: /shared
      tls: {ca_file: /cache-ca.pem}
    package:
      storage: file:///packages
      excludes: [data, "*.pyc"]
    runner: {template: mine}
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose home folder is empty."""
    return {"HOME": str(tmp_path)}


def write(folder: Path, text: str, name: str = "flame.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str, tmp_path: Path) -> str:
    """Return the message for a file with this text, after checking that it names the file."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        FlameContext(config_file=path, environ={})
    assert str(path) in caught.value.message
    assert caught.value.code is FlameErrorCode.INVALID_CONFIG
    return caught.value.message


class TestPrecedence:
    def test_defaults_need_neither_file_nor_environment(self, home: dict[str, str]) -> None:
        context = FlameContext(environ=home)
        assert context.endpoint == "http://127.0.0.1:8080"
        assert context.cache_endpoint == "grpc://127.0.0.1:9090"
        assert context.tls is None
        assert context.cache_tls is None
        assert context.package is None
        assert context.runner == FlameContextRunner("flmrun")
        assert context.sources == {
            "endpoint": "default",
            "workspace": "default",
            "cache_endpoint": "default",
            "runner": "default",
        }

    def test_file_fills_every_key_and_every_value_knows_its_place(self, tmp_path: Path) -> None:
        path = write(tmp_path, FULL)
        context = FlameContext.from_file(path)
        assert context.endpoint == "https://two:2222"
        assert context.address == Endpoint("https", "two", 2222)
        assert context.tls == FlameClientTls("/ca.pem", "/cert.pem", "/key.pem")
        assert context.cache.endpoint == context.cache_endpoint == "grpcs://two:3333"
        assert context.cache.storage == "/shared"
        assert context.cache.tls == context.cache_tls == FlameClientTls("/cache-ca.pem")
        assert context.package == FlamePackage("file:///packages", (*DEFAULT_EXCLUDES, "data"))
        assert context.runner.template == "mine"
        place = f"{path}: contexts[two]"
        assert context.sources == {
            "endpoint": f"{place}.cluster.endpoint",
            "tls.ca_file": f"{place}.cluster.tls.ca_file",
            "tls.cert_file": f"{place}.cluster.tls.cert_file",
            "tls.key_file": f"{place}.cluster.tls.key_file",
            "workspace": "default",
            "cache_endpoint": f"{place}.cache.endpoint",
            "cache_storage": f"{place}.cache.storage",
            "cache_tls.ca_file": f"{place}.cache.tls.ca_file",
            "package": f"{place}.package.storage",
            "runner": f"{place}.runner.template",
        }

    def test_environment_wins_over_file_and_argument_over_both(self, tmp_path: Path) -> None:
        environ = {
            "FLAME_CONFIG": str(write(tmp_path, FULL)),
            "FLAME_ENDPOINT": "env:5",
            "FLAME_CACHE_ENDPOINT": "grpc://env:6",
            "FLAME_CACHE_STORAGE": "/env",
        }
        context = FlameContext(environ=environ)
        assert context.endpoint == "env:5"
        assert context.sources["endpoint"] == "FLAME_ENDPOINT"
        assert context.cache_endpoint == "grpc://env:6"
        assert context.cache.storage == "/env"
        context = FlameContext("arg:7", cache_endpoint="grpc://arg:8", environ=environ)
        assert context.endpoint == "arg:7"
        assert context.cache_endpoint == "grpc://arg:8"
        assert context.sources["endpoint"] == context.sources["cache_endpoint"] == "argument"

    def test_objects_given_as_arguments_win_whole(self, tmp_path: Path) -> None:
        tls, other = FlameClientTls("/a"), FlameClientTls("/b")
        context = FlameContext(
            tls=tls,
            cache_tls=other,
            package=FlamePackage("here"),
            runner=FlameContextRunner("own"),
            config_file=write(tmp_path, FULL),
            environ={"FLAME_CA_FILE": "/env-ca"},
        )
        assert (context.tls, context.cache_tls) == (tls, other)
        assert context.package == FlamePackage("here")
        assert context.runner.template == "own"
        for name in ("tls", "cache_tls", "package", "runner"):
            assert context.sources[name] == "argument"

    def test_an_empty_variable_counts_as_unset(self, home: dict[str, str]) -> None:
        environ = {**home, "FLAME_ENDPOINT": "", "FLAME_CONFIG": ""}
        assert FlameContext(environ=environ).sources["endpoint"] == "default"

    def test_the_process_environment_is_the_default(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("FLAME_CONFIG", raising=False)
        monkeypatch.setenv("FLAME_ENDPOINT", "http://seen:1")
        assert FlameContext().endpoint == "http://seen:1"


class TestContexts:
    def test_a_context_is_chosen_by_name(self, tmp_path: Path) -> None:
        path = write(tmp_path, FULL)
        context = FlameContext(config_file=path, context="one", environ={})
        assert context.endpoint == "http://one:1111"
        with pytest.raises(ConfigError, match=r"context <three> not found: choose one of: 'one'"):
            FlameContext(config_file=path, context="three", environ={})

    def test_a_named_context_needs_the_file(self, home: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match=r"no such file, so no context 'one' either"):
            FlameContext(context="one", environ=home)


class TestInformers:
    def informers(self, text: str, tmp_path: Path, **environ: str) -> FlameContext:
        lines = f"{{current-context: a, contexts: [{{name: a, informers: {text}}}]}}"
        return FlameContext(config_file=write(tmp_path, lines), environ=environ)

    def test_names_and_options(self, tmp_path: Path) -> None:
        context = self.informers("[one, {name: two, options: {a: [1]}}]", tmp_path)
        assert context.informers == (FlameInformer("one"), FlameInformer("two", {"a": [1]}))
        assert context.sources["informers"].endswith("contexts[a].informers")
        assert self.informers("[]", tmp_path).informers == ()

    def test_the_variable_names_others_and_the_options_stay(self, tmp_path: Path) -> None:
        text = "[one, {name: two, options: {a: 1}}]"
        context = self.informers(text, tmp_path, FLAME_INFORMERS="two, three,two,")
        assert context.informers == (FlameInformer("two", {"a": 1}), FlameInformer("three"))
        assert context.sources["informers"] == "FLAME_INFORMERS"
        none = self.informers(text, tmp_path, FLAME_INFORMERS="")
        assert none.informers == ()
        assert [one.name for one in none.configured_informers] == ["one", "two"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("one", "informers must be a list of names"),
            ("[3]", "informers[0] must be a mapping"),
            ("[one, {options: {}}]", "informers[1]: name is missing"),
            ("[{name: one, port: 3}]", "unknown key 'port'; there are name, plugin, "),
            ("[{name: one, options: 3}]", "informers[0].options must be a mapping"),
            ("[{name: one, options: {3: 3}}]", "the keys must be texts"),
            ("[one, {name: one}]", "names 'one' twice"),
        ],
    )
    def test_refusals_name_the_place(self, text: str, says: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            self.informers(text, tmp_path)
        assert says in caught.value.message
        assert "contexts[a].informers" in caught.value.message


class TestTlsFiles:
    def test_variables_fill_only_what_the_file_leaves_open(self, tmp_path: Path) -> None:
        # docs/protocol.md#transport: FLAME_CA_FILE fills the engine's and the cache's CA file.
        text = "{current-context: a, contexts: [{name: a, cluster: {tls: {ca_file: /own}}}]}"
        environ = {
            "FLAME_CA_FILE": "/ca",
            "FLAME_CERT_FILE": "/cert",
            "FLAME_KEY_FILE": "/key",
        }
        context = FlameContext(config_file=write(tmp_path, text), environ=environ)
        assert context.tls == FlameClientTls("/own", "/cert", "/key")
        assert context.cache_tls == FlameClientTls("/ca", "/cert", "/key")
        assert context.sources["tls.cert_file"] == "FLAME_CERT_FILE"

    @pytest.mark.parametrize(
        ("variable", "missing"),
        [("FLAME_CERT_FILE", "key_file"), ("FLAME_KEY_FILE", "cert_file")],
    )
    def test_a_certificate_without_key_is_refused(
        self, home: dict[str, str], variable: str, missing: str
    ) -> None:
        with pytest.raises(ConfigError, match=f"{variable}: .* without {missing}"):
            FlameContext(environ={**home, variable: "/x"})

    def test_a_pair_in_the_file_must_be_whole_too(self, tmp_path: Path) -> None:
        message = refusal(
            "{current-context: a, contexts: [{name: a, cluster: {tls: {key_file: /k}}}]}", tmp_path
        )
        assert "cluster.tls.key_file" in message
        assert "cert_file" in message

    def test_the_argument_is_checked_as_well(self, home: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match=r"argument tls: cert_file is set without key_file"):
            FlameContext(tls=FlameClientTls(cert_file="/c"), environ=home)


class TestFiles:
    def test_the_file_in_the_home_folder_is_read(self, tmp_path: Path) -> None:
        path = write(tmp_path, FULL, ".flame/flame.yaml")
        context = FlameContext(environ={"HOME": str(tmp_path)})
        assert context.sources["endpoint"].startswith(str(path))

    def test_flame_config_names_another_one(self, tmp_path: Path) -> None:
        write(tmp_path, FULL, ".flame/flame.yaml")
        other = write(tmp_path, FULL.replace("two", "other"), "other.yaml")
        environ = {"HOME": str(tmp_path), "FLAME_CONFIG": str(other)}
        assert FlameContext(environ=environ).endpoint == "https://other:2222"

    def test_a_named_file_wins_over_flame_config(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FLAME_CONFIG", str(tmp_path / "absent.yaml"))
        monkeypatch.delenv("FLAME_ENDPOINT", raising=False)
        context = FlameContext.from_file(write(tmp_path, FULL))
        assert context.endpoint == "https://two:2222"

    def test_a_missing_default_file_is_fine(self, tmp_path: Path) -> None:
        environ = {"HOME": str(tmp_path / "nowhere")}
        assert FlameContext(environ=environ).sources["endpoint"] == "default"

    @pytest.mark.parametrize("home", [None, "", "/dev/null", "/nonexistent", "x" * 5000, "~", "~x"])
    def test_a_home_that_is_none_has_no_file(
        self, home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(user: object) -> object:
            raise KeyError(f"not found: {user}")

        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        monkeypatch.chdir(tmp_path)
        environ = {} if home is None else {"HOME": home}
        context = FlameContext("http://given:1", environ=environ)
        assert context.endpoint == "http://given:1"
        assert FlameContext(environ=environ).sources["endpoint"] == "default"
        with pytest.raises(ConfigError, match=r"no such file, so no context 'one' either"):
            FlameContext(context="one", environ=environ)

    def test_a_home_that_may_not_be_entered_has_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / ".flame"
        folder.mkdir()
        (folder / "flame.yaml").write_text(FULL)
        environ = {"HOME": str(tmp_path)}
        assert FlameContext(environ=environ).endpoint == "https://two:2222"

        def refuse(path: Path, **options: object) -> object:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "stat", refuse)  # rights stop nobody who is root
        assert FlameContext(environ=environ).sources["endpoint"] == "default"

    def test_a_default_file_that_is_there_and_must_not_be_read_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody wrote it to be used: calls to another engine would surprise them."""
        (tmp_path / ".flame").mkdir()
        (tmp_path / ".flame" / "flame.yaml").write_text(FULL)

        def refuse(path: Path, **options: object) -> str:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(Path, "read_text", refuse)
        with pytest.raises(ConfigError, match=r"flame\.yaml: cannot be read: .*ermission"):
            FlameContext(environ={"HOME": str(tmp_path)})

    def test_a_missing_file_that_was_named_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "absent.yaml"
        with pytest.raises(ConfigError, match=r"absent\.yaml .*FLAME_CONFIG.* no such file"):
            FlameContext(environ={"FLAME_CONFIG": str(path)})
        with pytest.raises(ConfigError, match=r"absent\.yaml: there is no such file"):
            FlameContext.from_file(path)

    def test_an_unreadable_file_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"cannot be read: .*directory"):
            FlameContext.from_file(tmp_path)
        path = tmp_path / "latin.yaml"
        path.write_bytes(b"name: \xff")
        with pytest.raises(ConfigError, match=r"cannot be read: .*utf-8"):
            FlameContext.from_file(path)

    def test_broken_yaml_says_where(self, tmp_path: Path) -> None:
        message = refusal("contexts: [a\nb: c: d", tmp_path)
        assert "not YAML" in message
        assert "line 2" in message

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "current-context is not set"),
            ("contexts: [{name: production}]", "such as `current-context: production`"),
            ("[]", "the file must be a mapping"),
            ("current-context: 3\ncontexts: []", "current-context is not set"),
            ("current-context: a", "contexts must be a list of contexts, got None"),
            ("{current-context: a, contexts: {a: b}}", "contexts must be a list of contexts"),
            ("{current-context: a, contexts: [b]}", "each item must be a mapping"),
            (
                "{current-context: c, contexts: [{name: a}, {name: b}]}",
                "context <c> not found: current-context must be one of: 'a', 'b'",
            ),
            ("{current-context: c, contexts: []}", "must be one of: none"),
            (
                "{current-context: a, contexts: [{name: a, cluster: {endpoint: 8080}}]}",
                "contexts[a].cluster.endpoint must be text, got 8080",
            ),
            (
                "{current-context: a, contexts: [{name: a, cluster: [x]}]}",
                "contexts[a].cluster must be a mapping of keys to values, got ['x']",
            ),
            (
                "{current-context: a, contexts: [{name: a, cluster: {tls: yes}}]}",
                "contexts[a].cluster.tls must be a mapping of keys to values, got True",
            ),
            (
                "{current-context: a, contexts: [{name: a, package: {storage: s, excludes: x}}]}",
                "contexts[a].package.excludes must be a list of texts, got 'x'",
            ),
            (
                "{current-context: a, contexts: [{name: a, cluster: {endpoint: 'ftp://h'}}]}",
                "contexts[a].cluster.endpoint: endpoint 'ftp://h': the scheme must be http or",
            ),
            (
                "{current-context: a, contexts: [{name: a, cache: {endpoint: 'h:9090'}}]}",
                "contexts[a].cache.endpoint: cache endpoint 'h:9090': write it like",
            ),
        ],
    )
    def test_a_wrong_key_is_named_with_what_was_expected(
        self, tmp_path: Path, text: str, expected: str
    ) -> None:
        assert expected in refusal(text, tmp_path)

    def test_excludes_need_no_storage(self, tmp_path: Path) -> None:
        text = "{current-context: a, contexts: [{name: a, package: {excludes: [x]}}]}"
        context = FlameContext(config_file=write(tmp_path, text), environ={})
        assert context.package == FlamePackage(None, (*DEFAULT_EXCLUDES, "x"))
        assert context.sources["package"].endswith("contexts[a].package")


class TestMisspeltKeys:
    """A key that is all but right would quietly be as if it were not there."""

    @pytest.mark.parametrize(
        ("context", "place", "meant"),
        [
            ("clusters: {endpoint: 'http://h:1'}", "contexts[a]", "cluster"),
            ("cluster: {endpont: 'http://h:1'}", "contexts[a].cluster", "endpoint"),
            ("cluster: {tls: {cafile: /ca}}", "contexts[a].cluster.tls", "ca_file"),
            ("cache: {allow-pickle: false}", "contexts[a].cache", "allow_pickle"),
            ("package: {storage: /p, exclude: [x]}", "contexts[a].package", "excludes"),
            ("informer: [x]", "contexts[a]", "informers"),
        ],
    )
    def test_they_are_refused_with_what_was_meant(
        self, context: str, place: str, meant: str, tmp_path: Path
    ) -> None:
        text = f"{{current-context: a, contexts: [{{name: a, {context}}}]}}"
        message = refusal(text, tmp_path)
        assert f"{place}: unknown key" in message
        assert f"{meant!r} was meant?" in message

    def test_keys_of_other_programs_are_none_of_ours(self, tmp_path: Path) -> None:
        text = "{current-context: a, contexts: [{name: a, flmctl: {x: 1}, cluster: {slots: 1}}]}"
        assert FlameContext(config_file=write(tmp_path, text), environ={}).tls is None


class TestEndpoint:
    @pytest.mark.parametrize(
        ("text", "target", "url"),
        [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("https://flame.example", "flame.example:8080", "https://flame.example:8080"),
            ("localhost:9000", "localhost:9000", "http://localhost:9000"),
            ("1.2.3.4:9000", "1.2.3.4:9000", "http://1.2.3.4:9000"),
            ("host", "host:8080", "http://host:8080"),
            ("HTTP://Host:1/", "host:1", "http://host:1"),
            ("  http://h:1 ", "h:1", "http://h:1"),
            ("http://[::1]:9", "[::1]:9", "http://[::1]:9"),
            ("[fe80::1]", "[fe80::1]:8080", "http://[fe80::1]:8080"),
            ("flame_fsm-0.svc:1", "flame_fsm-0.svc:1", "http://flame_fsm-0.svc:1"),
        ],
    )
    def test_parts(self, text: str, target: str, url: str) -> None:
        endpoint = Endpoint.parse(text)
        assert (endpoint.target, endpoint.url) == (target, url)
        assert endpoint.tls is url.startswith("https")

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            ("", "is empty"),
            ("   ", "is empty"),
            ("ftp://h:1", "scheme must be http or https"),
            ("grpc://h:1", "scheme must be http or https"),
            ("http://", "scheme, host and port only"),
            ("http://:80", "scheme, host and port only"),
            ("http://h/path", "scheme, host and port only"),
            ("http://h?x=1", "scheme, host and port only"),
            ("http://h#x", "scheme, host and port only"),
            ("two words", "scheme, host and port only"),
            ("http://h\n:1", "scheme, host and port only"),
            ("http://a,b:1", "scheme, host and port only"),
            ("http://h:0", "1 to 65535"),
            ("http://h:", "1 to 65535; without a colon it is 8080"),
            ("http://h:65536", "not a URL"),
            ("http://h:x", "not a URL"),
            ("::1", "not a URL"),
            ("http://[::1", "not a URL"),
        ],
    )
    def test_refusals_name_value_and_rule(self, text: str, rule: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Endpoint.parse(text)
        assert rule in caught.value.message
        assert repr(text) in caught.value.message

    def test_what_is_not_text_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="8080 is empty"):
            Endpoint.parse(8080)  # type: ignore[arg-type]  # what a caller without types may do

    @pytest.mark.parametrize(
        "text", ["http://me:secret@h:1", "me:secret@h", "http://me:secr/et@h", "http://m:se@cret@h"]
    )
    def test_a_password_is_refused_and_not_repeated(self, text: str) -> None:
        with pytest.raises(ConfigError, match="user or password") as caught:
            Endpoint.parse(text)
        assert "se" not in caught.value.message.replace("user", "")
        assert caught.value.__cause__ is None

    @given(
        host=st.from_regex(
            r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,10}){0,3}", fullmatch=True
        ),
        port=st.integers(1, 65535),
        scheme=st.sampled_from(["http", "https"]),
    )
    def test_any_url_survives_a_round_trip(self, host: str, port: int, scheme: str) -> None:
        endpoint = Endpoint.parse(f"{scheme}://{host}:{port}")
        assert endpoint == Endpoint(scheme, host, port)
        assert Endpoint.parse(endpoint.url) == endpoint

    @given(st.text(max_size=40))
    def test_any_text_gives_an_endpoint_or_a_config_error(self, text: str) -> None:
        with suppress(ConfigError):  # and nothing else
            endpoint = Endpoint.parse(text)
            assert Endpoint.parse(endpoint.url) == endpoint


class TestKeepalive:
    def test_file_and_argument(self, tmp_path: Path, home: dict[str, str]) -> None:
        assert FlameContext(environ=home).keepalive == (60.0, 20.0)
        text = FULL.replace(
            "endpoint: https://two:2222", "endpoint: https://two:2222\n      keepalive: {time: 7}"
        )
        path = write(tmp_path, text)
        context = FlameContext(config_file=path, environ=home)
        assert context.keepalive == (7.0, 20.0)
        assert context.sources["keepalive.time"].endswith("contexts[two].cluster.keepalive.time")
        given = FlameContext(config_file=path, keepalive=(1, 2.5), environ=home)
        assert given.keepalive == (1.0, 2.5)
        assert given.sources["keepalive"] == "argument"

    @pytest.mark.parametrize("wrong", [(), (1,), (1, 2, 3), (0, 1), (1, math.nan), ("x", 1), 5])
    def test_a_wrong_one_says_what_it_is(self, wrong, home: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match="two numbers of seconds"):
            FlameContext(keepalive=wrong, environ=home)

    def test_one_that_is_longer_than_a_day_is_a_day(self, home: dict[str, str]) -> None:
        given = FlameContext(keepalive=(math.inf, 1e10), environ=home)
        assert given.keepalive == (86_400.0, 86_400.0)

    @pytest.mark.parametrize("value", ["soon", "true", "[1]", "-1"])
    def test_a_wrong_one_in_the_file_is_named(self, value: str, tmp_path: Path) -> None:
        text = f"""current-context: a
contexts:
  - name: a
    cluster: {{keepalive: {{timeout: {value}}}}}
"""
        assert "keepalive" in refusal(text, tmp_path)


class TestWorkspace:
    def test_argument_then_variable_then_file_then_default(
        self, tmp_path: Path, home: dict[str, str]
    ) -> None:
        assert FlameContext(environ=home).workspace == "default"
        text = FULL.replace(
            "endpoint: https://two:2222", "endpoint: https://two:2222\n      workspace: file"
        )
        path = write(tmp_path, text)
        context = FlameContext(config_file=path, environ=home)
        assert context.workspace == "file"
        assert context.sources["workspace"].endswith("contexts[two].cluster.workspace")
        assert pickle.loads(pickle.dumps(context)).workspace == "file"
        environ = {**home, "FLAME_WORKSPACE": "variable"}
        assert FlameContext(config_file=path, environ=environ).workspace == "variable"
        given = FlameContext(config_file=path, workspace="argument", environ=environ)
        assert (given.workspace, given.sources["workspace"]) == ("argument", "argument")

    def test_a_wrong_one_is_refused_with_its_place(self, home: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match=r"^FLAME_WORKSPACE: workspace 'Team A': use"):
            FlameContext(environ={**home, "FLAME_WORKSPACE": "Team A"})


class TestShape:
    def test_repr_shows_endpoint_and_sources_and_no_secret(self, home: dict[str, str]) -> None:
        context = FlameContext(
            "http://h:1", tls=FlameClientTls("/ca", "/cert", "/private-key"), environ=home
        )
        shown = repr(context)
        assert "http://h:1" in shown
        assert "endpoint: argument" in shown
        assert "private-key" not in shown

    def test_a_cache_password_is_not_repeated(self, home: dict[str, str]) -> None:
        with pytest.raises(ConfigError) as caught:
            FlameContext(cache_endpoint="ftp://me:secret@h", environ=home)
        assert "secret" not in caught.value.message
        assert without_password("grpc://me:secret@h:1") == "grpc://***@h:1"
        assert without_password("grpc://h:1") == "grpc://h:1"

    def test_values_cannot_be_changed_afterwards(self, home: dict[str, str]) -> None:
        context = FlameContext(environ=home)
        with pytest.raises(AttributeError):
            context.endpoint = "http://other:1"  # type: ignore[misc]  # that is the point
        sources = context.sources
        assert isinstance(sources, dict)
        sources.clear()
        assert context.sources

    def test_no_network_is_used(
        self, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*args: object) -> None:
            raise AssertionError("FlameContext must not touch the network")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        assert FlameContext("http://no-such-host.invalid:1", environ=home).address.port == 1


class TestRetry:
    def retry(self, text: str, tmp_path: Path) -> FlameContext:
        lines = f"{{current-context: a, contexts: [{{name: a, retry: {text}}}]}}"
        return FlameContext(config_file=write(tmp_path, lines), environ={})

    def test_a_policy_is_read(self, tmp_path: Path) -> None:
        context = self.retry("{attempts: 3, timeout: 10, budget: 50}", tmp_path)
        assert context.retry == RetryPolicy(attempts=3, timeout=10, budget=50)
        assert context.sources["retry"].endswith("contexts[a].retry")
        assert self.retry("{timeout: null, budget: false}", tmp_path).retry == RetryPolicy(
            timeout=None, budget=False
        )
        assert self.retry("null", tmp_path).retry is None

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("{tries: 3}", r"contexts\[a\].retry: unknown key 'tries': there are attempts, "),
            ("{attempts: 0}", r"retry: attempts must be a whole number, 1 or more, got 0"),
            ("{attempts: many}", r"retry: attempts must be .* got 'many'"),
            ("{wait_max: -1}", r"retry: wait_max must be seconds, 0 or more, got -1"),
            ("[3]", r"retry must be a mapping"),
        ],
    )
    def test_a_bad_one_is_refused_by_name(self, text: str, says: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=says):
            self.retry(text, tmp_path)
