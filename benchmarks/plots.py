"""Plots for docs/: small SVG files, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

FIGURES = Path(__file__).parent.parent / "docs" / "figures"

COLOURS = ("#0b5394", "#c1440e", "#2e7d32", "#7b3fa0", "#8a6d00", "#546e7a")


def save_plot(name: str, draw: Callable[[Any], None], *, width: float = 7.0, height: float = 4.0) -> Path:
    """Have `draw` fill the axes of a plot, and write docs/figures/NAME.svg."""
    with mpl.rc_context():
        mpl.rcParams.update({"svg.hashsalt": name, "svg.fonttype": "none", "axes.grid": True, "grid.alpha": 0.25})
        mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "font.size": 10})
        mpl.rcParams["axes.prop_cycle"] = cycler(color=COLOURS)
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        FIGURES.mkdir(exist_ok=True)
        path = FIGURES / f"{name}.svg"
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path
