"""Aggregation rules: exact integer arithmetic, local to a chunk, one file a rule.

Rules know nothing of chunking, of the ledger or of who calls them, and use numpy integers alone: no floats, no BLAS.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from optfl.rules.base import MAX_UPDATES, MAX_WEIGHT, Rule, RuleError, Totals
from optfl.rules.fedavg import FedAvg
from optfl.rules.median import Median
from optfl.rules.trimmed_mean import TrimmedMean

__all__ = [
    "MAX_UPDATES",
    "MAX_WEIGHT",
    "FedAvg",
    "Median",
    "Rule",
    "RuleError",
    "Totals",
    "TrimmedMean",
    "parse_rule",
]

_RULES: dict[str, tuple[Callable[..., Rule], tuple[str, ...]]] = {
    "fedavg": (FedAvg, ()),
    "median": (Median, ()),
    "trimmed_mean": (TrimmedMean, ("f",)),
}
_USAGE = "use " + ", ".join(f"{name}({', '.join(p + '=…' for p in params)})" for name, (_, params) in _RULES.items())
_SYNTAX = re.compile(r"([a-z_]{1,32})\(((?:[a-z_]{1,32}=[0-9]{1,9}(?:, |(?=\))))*)\)")


def parse_rule(text: str) -> Rule:
    """The rule that `text` is the canonical name of, e.g. "trimmed_mean(f=1)"; RuleError for anything else."""
    match = _SYNTAX.fullmatch(text)
    if match is None or match[1] not in _RULES:
        raise RuleError(f"no rule {text[:64]!r}; {_USAGE}")
    build, names = _RULES[match[1]]
    arguments = [tuple(argument.split("=")) for argument in match[2].split(", ") if argument]
    if tuple(name for name, _ in arguments) != names:
        raise RuleError(f"{text!r} has other parameters than {match[1]} takes; {_USAGE}")
    rule = build(**{name: int(value) for name, value in arguments})
    if str(rule) != text:
        raise RuleError(f"{text!r} is not in canonical form; write {str(rule)!r}")
    return rule
