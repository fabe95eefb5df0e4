"""Aggregation rules: exact integer arithmetic, local to a chunk, one file a rule.

Rules know nothing of chunking, of the ledger or of who calls them, and use numpy integers and Python's alone: no
floats, no BLAS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from optfl.rules.arc import AdaptiveRobustClipping
from optfl.rules.base import (
    MAX_UPDATES,
    MAX_WEIGHT,
    Nearest,
    Recipe,
    RoundFacts,
    Rule,
    RuleError,
    Trim,
)
from optfl.rules.bucketing import Bucketing
from optfl.rules.bulyan import Bulyan
from optfl.rules.centred_clipping import CentredClipping
from optfl.rules.clipping import Clipping
from optfl.rules.fedavg import FedAvg
from optfl.rules.geometric_median import GeometricMedian
from optfl.rules.gram import Gram, Norms, Totals, TotalsKind
from optfl.rules.krum import Krum, MultiKrum
from optfl.rules.meamed import MeanAroundMedian
from optfl.rules.median import Median
from optfl.rules.minimum_diameter import MinimumDiameterAveraging
from optfl.rules.nnm import NearestNeighbourMixing
from optfl.rules.norm_clipped_mean import NormClippedMean
from optfl.rules.pipeline import Pipeline, PreAggregator
from optfl.rules.trimmed_mean import TrimmedMean

__all__ = [
    "MAX_UPDATES",
    "MAX_WEIGHT",
    "AdaptiveRobustClipping",
    "Bucketing",
    "Bulyan",
    "CentredClipping",
    "Clipping",
    "FedAvg",
    "GeometricMedian",
    "Gram",
    "Krum",
    "MeanAroundMedian",
    "Median",
    "MinimumDiameterAveraging",
    "MultiKrum",
    "Nearest",
    "NearestNeighbourMixing",
    "NormClippedMean",
    "Norms",
    "Pipeline",
    "PreAggregator",
    "Recipe",
    "RoundFacts",
    "Rule",
    "RuleError",
    "Totals",
    "TotalsKind",
    "Trim",
    "TrimmedMean",
    "parse_rule",
]

RULES: dict[str, tuple[Callable[..., Rule], tuple[str, ...]]] = {
    "bulyan": (Bulyan, ("f",)),
    "centred_clipping": (CentredClipping, ("norm", "steps")),
    "fedavg": (FedAvg, ()),
    "geometric_median": (GeometricMedian, ("steps",)),
    "krum": (Krum, ("f",)),
    "meamed": (MeanAroundMedian, ("f",)),
    "median": (Median, ()),
    "minimum_diameter": (MinimumDiameterAveraging, ("f",)),
    "multi_krum": (MultiKrum, ("f",)),
    "norm_clipped_mean": (NormClippedMean, ("norm",)),
    "trimmed_mean": (TrimmedMean, ("f",)),
}
PRE_AGGREGATORS: dict[str, tuple[Callable[..., PreAggregator], tuple[str, ...]]] = {
    "arc": (AdaptiveRobustClipping, ("f",)),
    "bucketing": (Bucketing, ("s",)),
    "clipping": (Clipping, ("norm",)),
    "nnm": (NearestNeighbourMixing, ("f",)),
}
MAX_STAGES = 4  # before a rule
_SYNTAX = re.compile(r"([a-z_]{1,32})\(((?:[a-z_]{1,32}=[0-9]{1,9}(?:, |(?=\))))*)\)")


@lru_cache(maxsize=256)  # a task's rule is asked for with every attempt and proof; rules do not change
def parse_rule(text: str) -> Rule:
    """The rule that `text` is the canonical name of, e.g. "nnm(f=1) | median()"; RuleError for anything else."""
    *stages, last = text[:512].split(" | ")
    if len(stages) > MAX_STAGES:
        raise RuleError(f"{len(stages)} pre-aggregators; use at most {MAX_STAGES}")
    before = tuple(_parse(stage, PRE_AGGREGATORS, "pre-aggregator") for stage in stages)
    rule: Rule = _parse(last, RULES, "rule")
    parsed = Pipeline(before, rule) if before else rule
    if str(parsed) != text:
        raise RuleError(f"{text[:64]!r} is not in canonical form; write {str(parsed)!r}")
    return parsed


def _parse(text: str, known: dict[str, tuple[Callable[..., Any], tuple[str, ...]]], what: str) -> Any:
    match = _SYNTAX.fullmatch(text)
    if match is None or match[1] not in known:
        raise RuleError(f"no {what} {text[:64]!r}; {_usage(known)}")
    build, names = known[match[1]]
    arguments = [tuple(argument.split("=")) for argument in match[2].split(", ") if argument]
    if tuple(name for name, _ in arguments) != names:
        raise RuleError(f"{text!r} has other parameters than {match[1]} takes; {_usage(known)}")
    return build(**{name: int(value) for name, value in arguments})


def _usage(known: dict[str, tuple[Callable[..., Any], tuple[str, ...]]]) -> str:
    return "use " + ", ".join(f"{name}({', '.join(p + '=…' for p in params)})" for name, (_, params) in known.items())
