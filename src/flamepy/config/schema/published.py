"""What is made of the table for editors and readers: a JSON Schema, and tables of Markdown.

The wheel has the schema as ``flame.schema.json``; docs/configuration.md has the tables.
scripts/print_config_schema.py writes both.
"""

from __future__ import annotations

import json
from pathlib import Path

from flamepy.config.schema.keys import INFORMER, REACTOR, RETRY, ROOT, RULE, WHERE
from flamepy.config.schema.kinds import Schema, Section

FILE = Path(__file__).with_name("flame.schema.json")
DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors of YAML understand
TABLES: tuple[tuple[str, Section], ...] = (
    ("key of an informer", INFORMER),
    ("key of a rule", RULE),
    ("key of `where`", WHERE),
    ("key of `retry`", RETRY),
    ("key of `reactor`", REACTOR),
)


def json_schema() -> Schema:
    """Return the schema."""
    return {
        "$schema": DRAFT,
        "title": "flame.yaml",
        "description": "Where a Flame engine is, how it is reached, and which informers run.",
        **ROOT.schema(),
    }


def printed_schema() -> str:
    """Return the text of the schema's file."""
    return json.dumps(json_schema(), indent=1) + "\n"


def editor_line() -> str:
    """Return the comment by which an editor finds the file that is installed here."""
    return f"# yaml-language-server: $schema={FILE.resolve().as_uri()}"


def markdown() -> str:
    """Return the tables."""
    return "\n\n".join(_table(title, section) for title, section in TABLES)


def _table(title: str, section: Section) -> str:
    rows = [f"| {title} | what | value |", "|---|---|---|"]
    for one in section.keys:
        needed = "; it must be there" if one.needed else ""
        rows.append(f"| `{one.name}` | {one.about}{needed} | {one.kind.words} |")
    return "\n".join(rows)
