"""How closely a validator watches a task, and what that costs it.

A policy is a text such as "full", "sample(0.05)" or "sample(0.02), accuracy(0.1), timing(3), history". What comes first
says how much of each aggregation is re-executed: all of it, each chunk with a probability, or nothing (`idle`). What
follows are triggers, after which an attempt is re-executed in full. None of them is evidence: a model is wrong if its
re-execution says so, and for no other reason (A7).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from optfl.wire import state_pb2

_WORD = re.compile(r"([a-z]{1,16})(?:\((\d{0,9}\.?\d{1,9})\))?")
_SHARES = {"full": False, "idle": False, "sample": True}  # name -> whether it takes a number
_TRIGGERS = {"accuracy": True, "timing": True, "history": False}
_USAGE = 'use "full", "idle" or "sample(P)", then any of accuracy(DROP), timing(FACTOR), history'

_MIN_TIMES = 3  # aggregations, before another one's time can be odd


class PolicyError(ValueError):
    """No policy is written like that."""


@dataclass(frozen=True)
class Policy:
    """What a validator re-executes of each attempt, and what makes it re-execute all of one."""

    share: float = 1.0  # of the chunks, each drawn on its own; 1: all, without drawing
    accuracy_drop: float | None = None  # on held-out data, from base to claimed model
    timing_factor: float | None = None  # an aggregation that took so many times longer or shorter than usual
    history: bool = False  # of an aggregator that was late or unreadable lately

    @property
    def has_triggers(self) -> bool:
        return self.accuracy_drop is not None or self.timing_factor is not None or self.history

    def __str__(self) -> str:
        words = ["full" if self.share == 1 else "idle" if self.share == 0 else f"sample({self.share:g})"]
        words += [] if self.accuracy_drop is None else [f"accuracy({self.accuracy_drop:g})"]
        words += [] if self.timing_factor is None else [f"timing({self.timing_factor:g})"]
        return ", ".join([*words, "history"] if self.history else words)


def parse_policy(text: str) -> Policy:
    """The policy that `text` describes; raises PolicyError."""
    values: dict[str, float] = {}
    for word in text.split(","):
        match = _WORD.fullmatch(word.strip())
        known = _TRIGGERS if values else _SHARES
        if match is None or match[1] in values or known.get(match[1]) is not (match[2] is not None):
            raise PolicyError(f"no watching policy {text[:80]!r}; {_USAGE}")
        values[match[1]] = float(match[2] or 0)
    first = next(iter(values))
    share = {"full": 1.0, "idle": 0.0}.get(first, values[first])
    if share > 1 or values.get("accuracy", 0) > 1:
        raise PolicyError(f"{text[:80]!r} has a share or an accuracy above 1")
    if values.get("timing", 2) <= 1:
        raise PolicyError(f"{text[:80]!r} has a timing factor of 1 or less: everything would be odd")
    return Policy(share, values.get("accuracy"), values.get("timing"), "history" in values)


@dataclass
class Cost:
    """What a role has done for a task, for its operator and for experiments."""

    attempts: int = 0  # of others, looked at
    aggregations: int = 0  # executed in full
    chunks: int = 0  # re-executed one by one
    bytes: int = 0  # fetched
    triggered: int = 0  # attempts that a trigger had re-executed in full

    def __str__(self) -> str:
        return (
            f"attempts: {self.attempts}, aggregations: {self.aggregations}, single chunks: {self.chunks}, "
            f"bytes fetched: {self.bytes}, triggered: {self.triggered}"
        )


def draw_chunks(seed: int, chunks: int, share: float) -> list[int]:
    """Each chunk with probability `share`. Whoever does not know `seed` cannot tell which are looked at."""
    return [int(chunk) for chunk in np.flatnonzero(np.random.default_rng(seed).random(chunks) < share)]


def is_odd_time(blocks: int, usual: Sequence[int], factor: float) -> bool:
    """Whether an aggregation took far longer, or shorter, than the usual one; a block more or less is never odd."""
    if len(usual) < _MIN_TIMES:
        return False
    typical = median(usual)
    return abs(blocks - typical) > 1 and not typical / factor <= blocks <= typical * factor


def get_aggregation_blocks(attempt: state_pb2.Attempt) -> int:
    """From the freeze of the updates to the model, in blocks."""
    return attempt.submit_height - attempt.freeze_height
