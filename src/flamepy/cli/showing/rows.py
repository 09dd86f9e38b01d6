"""A table that grows: ``--watch`` prints a row whenever a record changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone

import click

from flamepy.cli.showing.forms import Form, Record, as_text, plain
from flamepy.cli.showing.output import cell, record_line, title_of


class Rows:
    """Prints records as rows below one header, the columns as wide as the first rows need.

    As JSON each is one object on a line, as YAML a document.

    Args:
        columns: the keys that are shown, the name first.
        form: of ``output_option``, chosen.
        wide: keys that ``-o wide`` shows as well.
    """

    def __init__(self, columns: Sequence[str], form: Form, *, wide: Sequence[str] = ()) -> None:
        self._columns = [*columns, *(wide if form.kind == "wide" else ())]
        self._form = form
        self._widths: list[int] = []

    def show(self, records: Sequence[Record]) -> None:
        """Print records, in order."""
        if self._form.kind in ("table", "wide"):
            self._show_table(records)
            return
        for record in records:
            if self._form.kind == "json":
                click.echo(json.dumps(plain(record)))
            elif self._form.kind == "yaml":
                click.echo(f"---\n{as_text(record, self._form)}")
            else:
                click.echo(record_line(record, self._form, self._columns))

    def _show_table(self, records: Sequence[Record]) -> None:
        now = datetime.now(timezone.utc)
        rows = [[cell(record[key], now) for key in self._columns] for record in records]
        if not self._widths:
            rows.insert(0, [title_of(key) for key in self._columns])
            self._widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row, self._widths, strict=True)]
            click.echo("  ".join(cells).rstrip())
