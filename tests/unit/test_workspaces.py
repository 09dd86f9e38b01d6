"""Names of workspaces, as engines that have workspaces take them."""

from __future__ import annotations

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.workspaces import check_workspace


@pytest.mark.parametrize("name", ["a", "default", "team_a-1", "9", "x" * 63])
def test_names_of_workspaces(name: str) -> None:
    assert check_workspace(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a_", "A", "a.b", "a/b", "x" * 64, "ä", None, b"a"])
def test_bad_names_of_workspaces(name: object) -> None:
    with pytest.raises(InvalidArgumentError, match="workspace") as caught:
        check_workspace(name)
    assert len(caught.value.message) < 200
