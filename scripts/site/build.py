"""Build the documentation's site: ``make docs``.

Any warning, broken link or missing anchor ends it with status 1, and so does a public name without
a place in the reference, or a page that would load something from another host. Nothing is read
from a network. ``--pages FOLDER`` only collects the pages.

The site has a folder for each minor version, ``0.1/``; ``index.html`` leads to the newest and
``versions.json`` lists those that are there, for the menu in the header. To publish a new version
beside older ones, build into the folder that has them: ``--output FOLDER``. ``FLAMEPY_DOCS_URL`` is
the address where it will be, for links that must be absolute.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

sys.path.insert(0, str(Path(__file__).parent))
import api_pages
import pages

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".cache" / "docs"
SETTINGS = ROOT / "docs" / "site"
LOCAL = "http://127.0.0.1:8000/"
ABROAD = re.compile(r"""(?:src|href)=["']?(https?:)?//(?!127\.0\.0\.1)[^"' >]+""")
GITHUB_ANCHORS = "!!python/object/apply:pymdownx.slugs.slugify {kwds: {case: lower}}"
CANONICAL = re.compile(r"rel=[\"']?(?:canonical|next|prev)")
HREF = re.compile(r"""<a\b[^>]*?\bhref=["']?([^"' >]+)""")
LOADS = re.compile(r"<(?:script|link|img|iframe)\b[^>]*>")


def main() -> int:
    """Build; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=WORK / "site")
    parser.add_argument("--pages", type=Path, metavar="FOLDER", help="only collect the pages")
    chosen = parser.parse_args()
    site = pages.collect()
    if chosen.pages:
        pages.write(site, chosen.pages)
        return 0
    source = WORK / "pages"
    pages.write(site, source)
    shutil.copytree(SETTINGS / "assets", source / "assets", dirs_exist_ok=True)
    shutil.copytree(SETTINGS / "overrides", WORK / "overrides", dirs_exist_ok=True)
    version = ".".join(version_of().split(".")[:2])
    target = chosen.output / version
    settings = WORK / "mkdocs.yml"
    text = json.dumps(configuration(site, version))
    settings.write_text(text.replace('"GITHUB"', GITHUB_ANCHORS))  # the only value with a tag
    zensical = Path(sys.executable).with_name("zensical")
    command = [str(zensical), "build", "--strict", "--clean", "--config-file", str(settings)]
    done = subprocess.run(command, cwd=WORK, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr.partition("Traceback")[0], file=sys.stderr)
        return 1
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(WORK / "built", target)
    extras(site, chosen.output, target, version)
    wrong = [*missing_names(target), *foreign_loads(target), *broken_links(target)]
    for one in wrong:
        print(one, file=sys.stderr)
    words = sum(len(text.split()) for text in site.pages.values())
    print(f"docs: ok, {len(site.pages)} pages, {words:,} words, {target / 'index.html'}")
    return 1 if wrong else 0


def version_of() -> str:
    """Return the version of the distribution."""
    text = (ROOT / "src" / "flamepy" / "_version.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found is not None
    return found[1]


def configuration(site: pages.Site, version: str) -> dict[str, Any]:
    """Return the settings of the site with the navigation filled in."""
    read = yaml.safe_load((SETTINGS / "mkdocs.yml").read_text(encoding="utf-8"))
    root = os.environ.get("FLAMEPY_DOCS_URL", LOCAL).rstrip("/")
    read["nav"] = filled(read["nav"], site)
    read["site_url"] = f"{root}/{version}/"
    read["docs_dir"], read["site_dir"] = "pages", "built"
    read["theme"]["custom_dir"] = "overrides"
    handlers = read["plugins"][1]["mkdocstrings"]["handlers"]
    handlers["python"]["paths"] = [str(ROOT / "src")]
    rewriting = str(Path(__file__).with_name("docstrings.py"))
    handlers["python"]["options"]["extensions"] = [rewriting]
    return read


def filled(nav: Any, site: pages.Site) -> Any:
    """Return the navigation with ``@folder`` replaced by the pages of that folder."""
    if isinstance(nav, list):
        found = []
        for one in nav:
            if isinstance(one, str) and one.startswith("@"):
                prefix = f"{one[1:]}/"
                found += sorted(place for place in site.pages if place.startswith(prefix))
            else:
                found.append(filled(one, site))
        return found
    if isinstance(nav, dict):
        return {key: filled(value, site) for key, value in nav.items()}
    return nav


def extras(site: pages.Site, output: Path, target: Path, version: str) -> None:
    """Write what is beside the pages: ``llms.txt``, the list of versions, the redirect."""
    lines = ["# flamepy-informers", "", "> Clients, services and informers for the Flame engine."]
    nav = yaml.safe_load((SETTINGS / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    for section in filled(nav, site):
        for title, inside in section.items() if isinstance(section, dict) else ():
            lines += ["", f"## {title}", ""]
            lines += [f"- [{title_of(site, one)}]({one})" for one in flat(inside)]
    (target / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for place, text in site.pages.items():  # what llms.txt leads to
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = sorted(
        (one.name for one in output.iterdir() if re.fullmatch(r"\d+\.\d+", one.name)),
        key=lambda name: [int(part) for part in name.split(".")],
        reverse=True,
    )
    listed = [{"version": one, "title": one, "aliases": []} for one in found]
    listed[0]["aliases"] = ["latest"]
    (output / "versions.json").write_text(json.dumps(listed))
    (output / "index.html").write_text(
        '<!doctype html><meta charset="utf-8"><title>flamepy-informers</title>'
        f'<meta http-equiv="refresh" content="0; url={found[0]}/">'
        f'<a href="{found[0]}/">flamepy-informers {found[0]}</a>\n'
    )
    shutil.copyfile(target / "404.html", output / "404.html")


def flat(inside: Any) -> list[str]:
    """Return the pages of a part of the navigation."""
    if isinstance(inside, str):
        return [inside]
    parts = inside.values() if isinstance(inside, dict) else inside
    return [page for part in parts for page in flat(part)]


def title_of(site: pages.Site, place: str) -> str:
    """Return the title of a page."""
    found = re.search(r"^# (.+)$", site.pages[place], re.MULTILINE)
    return found[1].replace("`", "") if found else place


def missing_names(target: Path) -> list[str]:
    """Return a line for each public name that the reference does not describe."""
    data = (target / "objects.inv").read_bytes().split(b"\n", 4)[4]
    there = {line.split(" ", 1)[0] for line in zlib.decompress(data).decode().splitlines()}
    return [
        f"no place in the reference: {one}"
        for one in api_pages.expected_anchors()
        if one not in there
    ]


def foreign_loads(target: Path) -> list[str]:
    """Return a line for each page that loads something from another host."""
    return [
        f"{path.relative_to(target)} loads {tag}"
        for path in target.rglob("*.html")
        for tag in LOADS.findall(path.read_text(encoding="utf-8"))
        if ABROAD.search(tag) and not CANONICAL.search(tag)
    ]


def broken_links(target: Path) -> list[str]:
    """Return a line for each link to a file that the site does not have."""
    found = []
    for path in target.rglob("*.html"):
        folder = target if path.name == "404.html" else path.parent
        for href in HREF.findall(path.read_text(encoding="utf-8")):
            goal = unquote(href.partition("#")[0].partition("?")[0])
            if not goal or goal.startswith(("http:", "https:", "mailto:", "data:", "/")):
                continue
            place = folder / goal
            if not (place.is_file() or (place / "index.html").is_file()):
                found.append(f"{path.relative_to(target)}: no {href}")
    return found


if __name__ == "__main__":
    sys.exit(main())
