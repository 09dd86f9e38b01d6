"""Draw what ``compare.py`` wrote: ``chart.py FOLDER`` makes compare.png of compare.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def main() -> None:
    """Draw."""
    folder = Path(sys.argv[1])
    found = json.loads((folder / "compare.json").read_text())["ratios"][::-1]
    medians = [one["median"] for one in found]
    errors = [
        [one["median"] - one["min"] for one in found],
        [one["max"] - one["median"] for one in found],
    ]
    names = [f"{one['name']} [{one['server']}] {one['aim']}".rstrip() for one in found]
    figure, axes = plt.subplots(figsize=(9, 0.34 * len(found) + 1.2))
    axes.barh(names, medians, xerr=errors, color="#4c78a8", error_kw={"lw": 1})
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("ratio within a round: median, least and most")
    axes.tick_params(axis="y", labelsize=8)
    figure.tight_layout()
    figure.savefig(folder / "compare.png", dpi=130)


if __name__ == "__main__":
    main()
