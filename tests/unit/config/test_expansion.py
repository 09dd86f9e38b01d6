"""``${NAME}`` and ``file:PATH``: what is put in, what is said when it cannot be, what is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from flamepy.config.expansion import LARGEST, expand
from flamepy.errors import ConfigError

ENVIRON = {"TOKEN": "hunter2", "ONE": "1", "EMPTY": ""}


def test_variables_are_put_in_wherever_a_text_is() -> None:
    value = {"url": "https://x/${TOKEN}/${ONE}", "list": ["${TOKEN}", 3, None, True], "n": {"a": 1}}
    found = expand(value, "here", ENVIRON)
    assert found.value == {
        "url": "https://x/hunter2/1",
        "list": ["hunter2", 3, None, True],
        "n": {"a": 1},
    }
    assert found.secrets == {"hunter2", "1"}
    assert "hunter2" not in repr(found)


def test_two_dollars_are_the_characters_themselves() -> None:
    found = expand("$${TOKEN} $ {TOKEN} ${TOKEN", "here", ENVIRON)
    assert found.value == "${TOKEN} $ {TOKEN} ${TOKEN"
    assert not found.secrets


def test_a_file_is_put_in_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2\n")
    environ = {"FOLDER": str(tmp_path)}
    found = expand({"a": "file:${FOLDER}/token", "b": "file:///srv/x"}, "here", environ)
    assert found.value == {"a": "hunter2", "b": "file:///srv/x"}
    assert found.secrets == {"hunter2"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": ["${MISSING}"]}, r"here\.a\[0\] names the environment variable MISSING, which is n"),
        ("${EMPTY}", r"EMPTY, which is not set: set it, or leave the key out; .* written \$\$\{EM"),
        ("file:{folder}/none", "names the file '.*none': No such file"),
        ("file:{folder}", "Is a directory"),
        ("file:{folder}/empty", "which is empty"),
        ("file:{folder}/bytes", "which is not UTF-8"),
        ("file:{folder}/large", "has more than 1 MiB"),
    ],
)
def test_what_cannot_be_put_in_is_named(value: object, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * (LARGEST + 1))
    given = value.replace("{folder}", str(tmp_path)) if isinstance(value, str) else value
    with pytest.raises(ConfigError, match=said):
        expand(given, "here", ENVIRON)


def test_what_was_put_in_is_hidden_in_messages_however_it_is_quoted() -> None:
    environ = {"TOKEN": "a/b c\n'd'", "ONE": "1"}
    found = expand(["${TOKEN}", "${ONE}"], "here", environ)
    token = environ["TOKEN"]
    said = f"no: {token} | {token!r} | https://x/a/b%20c%0A%27d%27 | a%2Fb%20c%0A%27d%27 | 1"
    assert found.hide(said) == 'no: *** | "***" | https://x/*** | *** | 1'
