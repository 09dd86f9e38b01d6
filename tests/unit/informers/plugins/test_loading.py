"""Plugins: which are found, which are enabled, and what is said of broken ones."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flamepy.config import FlameContext
from flamepy.core import TaskInformer
from flamepy.errors import InvalidArgumentError, PluginError
from flamepy.informers import Reactor
from flamepy.informers.plugins.discovery import PluginInfo, discover
from flamepy.informers.plugins.loading import Plugin, check_plugins, load_plugins
from flamepy.informers.plugins.registering import register_plugin
from flamepy.types import RetryPolicy

MODULE = """
from flamepy.core import TaskInformer

class Good(TaskInformer):
    def __init__(self, *, port=0, host="here"):
        self.port, self.host = port, host

class Needs(TaskInformer):
    def __init__(self, path):
        self.path = path

class Any(TaskInformer):
    def __init__(self, **options):
        self.options = options

class Raises(TaskInformer):
    def __init__(self, secret="x"):
        raise ValueError("no such port")

class Ends(TaskInformer):
    def __init__(self, *, token="x"):
        self.token = token
    def on_terminal(self, event):
        pass
    def attach(self, reactor):
        raise ValueError("no " + self.token)

class Says(TaskInformer):
    def __init__(self, *, url):
        raise ValueError("cannot reach " + url)

class Other:
    pass

def factory(port=1):
    return Good(port=port)

def nothing():
    return 3

instance = Good()
text = "not callable"
"""

Install = Callable[..., Path]
Configure = Callable[..., FlameContext]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return what puts a distribution with plugins on the path, as an installer does."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "made_plugins.py").write_text(MODULE)
    (folder / "exits.py").write_text("raise SystemExit('no licence')")
    monkeypatch.syspath_prepend(folder)

    def add(name: str, *entries: str, version: str = "1.2", where: Path = folder) -> Path:
        info = where / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = "\n".join(entries)
        (info / "entry_points.txt").write_text(
            f"[console_scripts]\nx = a:b\n[flamepy.informers]\n{lines}\n\n[other]\ny = c:d\n"
        )
        return info

    yield add
    for module in ("made_plugins", "exits"):
        sys.modules.pop(module, None)


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Return what makes a context whose file has this text below ``informers:``."""

    def write(informers: str, **environ: str) -> FlameContext:
        path = tmp_path / "flame.yaml"
        path.write_text(f"current-context: a\ncontexts:\n  - name: a\n    informers: {informers}\n")
        return FlameContext(config_file=path, environ=environ)

    return write


def only(found: list[PluginInfo]) -> PluginInfo:
    (one,) = found
    return one


class TestDiscovery:
    def test_each_entry_of_the_group_is_found_with_its_distribution(self, install: Install) -> None:
        install(
            "flamepy-made", "good = made_plugins:Good", "# a remark", "any=made_plugins:Any [x]"
        )
        assert discover() == [
            PluginInfo("any", "flamepy-made", "1.2", "made_plugins:Any [x]"),
            PluginInfo("good", "flamepy-made", "1.2", "made_plugins:Good"),
        ]
        assert "made_plugins" not in sys.modules, "looking for plugins imported one"

    @pytest.mark.parametrize(
        "entry",
        ["broken", "= made_plugins:Good", "broken = ", "broken = made_plugins", "b = x y:z"],
    )
    def test_a_malformed_entry_is_told_and_spoils_no_other(
        self, install: Install, entry: str
    ) -> None:
        install("flamepy-made", entry, "good = made_plugins:Good")
        install("flamepy-second", "second = made_plugins:Any")
        found = discover()
        assert {one.name for one in found if one.problem is None} == {"good", "second"}
        broken = only([one for one in found if one.problem is not None])
        assert broken.distribution == "flamepy-made"
        assert f"its entry point {entry.strip()!r} must be like" in str(broken.problem)

    def test_metadata_that_cannot_be_read_spoils_no_other(self, install: Install) -> None:
        broken = install("flamepy-broken", "x = made_plugins:Good")
        (broken / "entry_points.txt").write_bytes(b"[flamepy.informers]\n\xff = a:b\n")
        install("flamepy-made", "good = made_plugins:Good")
        found = discover()
        assert [one.name for one in found if one.problem is None] == ["good"]
        assert "UnicodeDecodeError" in str(found[0].problem)

    def test_one_name_from_two_distributions_is_neither(self, install: Install) -> None:
        install("flamepy-one", "same = made_plugins:Good")
        install("flamepy-two", "same = made_plugins:Any", version="3")
        one, two = discover()
        assert "flamepy-two 3 (made_plugins:Any)" in str(one.problem)
        assert "flamepy-one 1.2 (made_plugins:Good)" in str(two.problem)
        with pytest.raises(PluginError, match="uninstall or rename"):
            load_plugins({"same": {}}, strict=True)

    def test_an_older_copy_further_down_the_path_does_not_count(
        self, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = tmp_path / "later"
        install("Flamepy_Made", "old = made_plugins:Any", version="0.1", where=later)
        monkeypatch.setattr(sys, "path", [*sys.path, str(later)])
        install("flamepy-made", "good = made_plugins:Good")
        assert [one.name for one in discover()] == ["good"]


class TestLoading:
    def test_a_class_and_a_function_get_their_options(self, install: Install) -> None:
        install("flamepy-made", "good = made_plugins:Good", "made = made_plugins:factory")
        made, good = load_plugins({"made": None, "good": {"port": 7}}, strict=True)
        assert (made.name, made.informer.port, made.informer.host) == ("made", 1, "here")
        assert (good.name, good.informer.port) == ("good", 7)
        assert good.info == PluginInfo("good", "flamepy-made", "1.2", "made_plugins:Good")

    def test_each_load_makes_an_instance_of_its_own(self, install: Install) -> None:
        install("flamepy-made", "good = made_plugins:Good")
        first, second = (load_plugins({"good": {}})[0].informer for _ in range(2))
        assert first is not second

    @pytest.mark.parametrize(
        ("value", "options", "says"),
        [
            ("no_such_module:X", {}, "importing no_such_module:X raised ModuleNotFoundError"),
            ("made_plugins:Missing", {}, "raised AttributeError"),
            ("exits:X", {}, "raised SystemExit: no licence"),
            ("made_plugins:Other", {}, "subclasses neither flamepy.core.TaskInformer nor"),
            ("made_plugins:text", {}, "it must be an informer class, or a function"),
            ("made_plugins:instance", {}, "it must be an informer class, or a function"),
            ("made_plugins:nothing", {}, "returned 3, which is not an informer"),
            ("made_plugins:Good", {"prot": 1}, "no option 'prot'; did you mean 'port'? (its optio"),
            ("made_plugins:Good", {"zzz": 1}, "no option 'zzz' (its options: port, host)"),
            ("made_plugins:Needs", {}, "the option 'path' is missing (its options: path)"),
            ("made_plugins:Raises", {"secret": "hush"}, "with the options secret raised ValueErr"),
        ],
    )
    def test_a_broken_one_is_told_with_its_distribution_and_left_out(
        self,
        install: Install,
        caplog: pytest.LogCaptureFixture,
        value: str,
        options: dict[str, object],
        says: str,
    ) -> None:
        install("flamepy-made", f"broken = {value}", "good = made_plugins:Good")
        enabled = {"broken": options, "good": {}}
        with caplog.at_level(logging.ERROR):
            assert [one.name for one in load_plugins(enabled)] == ["good"]
        (record,) = caplog.records
        message = record.getMessage()
        assert message.startswith("informer plugin 'broken' (flamepy-made 1.2): ")
        assert says in message
        assert "hush" not in message
        with pytest.raises(PluginError) as caught:
            load_plugins(enabled, strict=True)
        assert says in caught.value.message

    def test_any_options_go_to_one_that_takes_any(self, install: Install) -> None:
        install("flamepy-made", "any = made_plugins:Any")
        (any_,) = load_plugins({"any": {"a": 1, "b": 2}}, strict=True)
        assert any_.informer.options == {"a": 1, "b": 2}

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("goood", "did you mean 'good'?"),
            ("flamepy-made", "did you mean 'good'?"),
            ("zzz", "installed plugins: good"),
        ],
    )
    def test_an_unknown_name_is_told_with_what_is_near(
        self, install: Install, name: str, says: str
    ) -> None:
        install("flamepy-made", "good = made_plugins:Good")
        assert load_plugins({name: {}}) == []
        with pytest.raises(PluginError, match=f"informer plugin '{name}'") as caught:
            load_plugins({name: {}}, strict=True)
        assert says in caught.value.message

    def test_the_cause_is_kept(self, install: Install) -> None:
        install("flamepy-made", "raises = made_plugins:Raises")
        with pytest.raises(PluginError) as caught:
            load_plugins({"raises": {}}, strict=True)
        assert isinstance(caught.value.__cause__, ValueError)


class TestEnabling:
    @pytest.fixture(autouse=True)
    def installed(self, install: Install) -> None:
        install("flamepy-made", "good = made_plugins:Good", "any = made_plugins:Any")

    def named(self, context: FlameContext, **arguments: object) -> list[tuple[str, object]]:
        loaded = load_plugins(strict=True, context=context, **arguments)
        return [(one.name, getattr(one.informer, "port", None)) for one in loaded]

    def test_nothing_is_loaded_unless_enabled(self, tmp_path: Path) -> None:
        assert load_plugins(context=FlameContext(environ={"HOME": str(tmp_path)})) == []
        assert "made_plugins" not in sys.modules

    def test_the_file_enables_with_options_or_plainly(self, configure: Configure) -> None:
        context = configure("[any, {name: good, options: {port: 3}}]")
        assert self.named(context) == [("any", None), ("good", 3)]

    def test_the_variable_wins_over_the_file_whose_options_stay(self, configure: Configure) -> None:
        text = "[any, {name: good, options: {port: 3}}]"
        assert self.named(configure(text, FLAME_INFORMERS=" good ,")) == [("good", 3)]
        assert self.named(configure(text, FLAME_INFORMERS="")) == []

    def test_code_wins_over_both(self, configure: Configure) -> None:
        context = configure("[{name: good, options: {port: 3}}]", FLAME_INFORMERS="")
        assert self.named(context, enabled=["any", "good"]) == [("any", None), ("good", 3)]
        assert self.named(context, enabled={"good": {"port": 4}}) == [("good", 4)]
        assert self.named(context, enabled=()) == []

    def test_disabled_names_are_left_out(self, configure: Configure) -> None:
        context = configure("[any, {name: good, options: {port: 3}}]")
        assert self.named(context, disabled=["any"]) == [("good", 3)]

    def test_a_plugin_made_by_the_caller_passes_through(self) -> None:
        mine = Plugin("mine", TaskInformer())
        assert load_plugins([mine]) == [mine]

    def test_one_text_is_refused(self) -> None:
        with pytest.raises(InvalidArgumentError, match=r"\['good'\]"):
            load_plugins("good")


class TestEntries:
    """An entry of the file says how an informer is made, and how it is registered."""

    @pytest.fixture(autouse=True)
    def installed(self, install: Install) -> None:
        install(
            "flamepy-made",
            *("good = made_plugins:Good", "ends = made_plugins:Ends", "says = made_plugins:Says"),
        )

    def test_several_of_one_plugin_have_names_of_their_own(self, configure: Configure) -> None:
        text = "[good, {name: two, plugin: good, options: {port: 2}}, {name: three, plugin: good}]"
        found = load_plugins(strict=True, context=configure(text))
        assert [(one.name, one.informer.port) for one in found] == [
            *(("good", 0), ("two", 2), ("three", 0))
        ]
        assert [one.info.name for one in found] == ["good"] * 3

    def test_a_class_that_is_not_installed_is_named_by_its_module(
        self, configure: Configure
    ) -> None:
        context = configure("[{name: mine, plugin: 'made_plugins:Any', options: {a: 1}}]")
        (one,) = load_plugins(strict=True, context=context)
        assert (one.name, one.informer.options) == ("mine", {"a": 1})

    def test_what_register_takes_is_checked_with_the_informer(self, configure: Configure) -> None:
        text = "[{name: e, plugin: ends, application: a, events: [failed], retry: {attempts: 2}}]"
        (one,) = load_plugins(strict=True, context=configure(text))
        assert one.arguments == {
            "application": "a",
            "events": ["failed"],
            "retry": RetryPolicy(attempts=2),
        }

    @pytest.mark.parametrize(
        ("entry", "says"),
        [
            ("plugin: ends, events: [opened]", "'opened' and Ends overrides none of the callbacks"),
            ("plugin: ends, rules: [{expect: end, within: 5}]", "has rules and no on_overdue"),
            ("plugin: ends, on_stuck: replace, timeout: null", "on_stuck='replace' needs a time"),
            ("plugin: ends, where: 'no_such:x'", "where: importing no_such:x raised ModuleNotFou"),
            ("plugin: ends, key: 'made_plugins:text'", "key: made_plugins:text is 'not callable'"),
            ("plugin: ends, where: {live: false}", "where leaves nothing out"),
            ("plugin: zzz", "no installed plugin is called 'zzz'; there are: ends, good, says"),
            ("plugin: edns", "did you mean 'ends'"),
            ("plugin: 'made_plugins:Missing'", "raised AttributeError"),
        ],
    )
    def test_a_broken_entry_is_named(self, configure: Configure, entry: str, says: str) -> None:
        context = configure(f"[{{name: alerts, {entry}}}, good]")
        with pytest.raises(PluginError, match="informer plugin 'alerts'") as caught:
            load_plugins(strict=True, context=context)
        assert says in caught.value.message
        problems = {one.name: one.problem for one in check_plugins(context=context)}
        assert problems["good"] is None
        assert str(problems["alerts"]) in caught.value.message

    def test_secrets_are_put_in_when_it_is_made(self, configure: Configure, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("from a file\n")
        text = "[{name: a, plugin: ends, options: {token: '${WORD}!'}}, {name: b, plugin: ends, "
        text += f"options: {{token: 'file:{tmp_path}/token'}}}}]"
        context = configure(text, WORD="hunter2")
        found = load_plugins(strict=True, context=context)
        assert [one.informer.token for one in found] == ["hunter2!", "from a file"]
        for shown in (*found, context, context.informers):
            assert "hunter2" not in repr(shown)

    def test_a_missing_secret_breaks_that_informer_alone(self, configure: Configure) -> None:
        context = configure("[{name: a, plugin: ends, options: {token: '${NOT_SET}'}}, good]")
        assert [one.name for one in load_plugins(context=context)] == ["good"]
        with pytest.raises(PluginError, match=r"informers\[a\]\.options\.token names the env"):
            load_plugins(strict=True, context=context)

    def test_no_message_shows_a_secret(
        self, configure: Configure, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = "[{name: a, plugin: says, options: {url: 'https://x/${WORD}'}}, {name: b, "
        text += "plugin: ends, options: {token: '${WORD}'}}]"
        context = configure(text, WORD="hunter2")
        with Reactor(plugins=(), endpoint="http://127.0.0.1:9") as reactor:
            for plugin in load_plugins(context=context):
                register_plugin(reactor.register, plugin, lambda: None, strict=False)
                with pytest.raises(PluginError, match=r"no \*\*\*") as caught:
                    register_plugin(reactor.register, plugin, lambda: None, strict=True)
                assert caught.value.__cause__ is None
        problems = [str(one.problem) for one in check_plugins(context=context)]
        shown = caplog.text + "".join(problems)
        assert "cannot reach https://x/***" in caplog.text
        assert "could not be registered: no ***" in caplog.text
        assert "hunter2" not in shown

    def test_two_that_are_made_alike_are_equal_by_what_they_are_made_of(
        self, configure: Configure, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("one")
        text = f"[{{name: a, plugin: ends, options: {{token: 'file:{tmp_path}/token'}}}}]"
        first, again = (load_plugins(context=configure(text))[0] for _ in range(2))
        (tmp_path / "token").write_text("two")
        changed = load_plugins(context=configure(text))[0]
        assert first.made_of == again.made_of
        assert first.made_of != changed.made_of, "what a file holds counts"


class TestChecking:
    def test_all_are_imported_and_the_enabled_made(self, install: Install) -> None:
        install(
            "flamepy-made",
            *("good = made_plugins:Good", "needs = made_plugins:Needs", "gone = gone:X"),
        )
        checked = {one.name: one for one in check_plugins({"good": {"prot": 1}, "nedes": {}})}
        assert {name for name, one in checked.items() if one.enabled} == {"good", "nedes"}
        assert "did you mean 'port'" in str(checked["good"].problem)
        assert "did you mean 'needs'" in str(checked["nedes"].problem)
        assert checked["needs"].problem is None, "it is not enabled: its options are not known"
        assert "ModuleNotFoundError" in str(checked["gone"].problem)
        fine = check_plugins({"good": {"port": 1}, "needs": {"path": "x"}})
        assert [one.name for one in fine if one.problem is None] == ["good", "needs"]


def test_importing_the_library_imports_no_plugin(install: Install, tmp_path: Path) -> None:
    install("flamepy-made", "good = exits:X")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import flamepy, flamepy.informers.plugins.loading, flamepy.informers.reactor\n"
        "assert not {'exits', 'click'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_broken_one_is_said_once_a_minute_however_often_reactors_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(20):
        assert load_plugins(["nobody-has-this-one"]) == []
    assert len([one for one in caplog.messages if "nobody-has-this-one" in one]) == 1
