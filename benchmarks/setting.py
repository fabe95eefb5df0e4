"""What is measured: the sizes of one run."""

from __future__ import annotations

from dataclasses import dataclass

LEDGER_MODES = ("optimistic", "quorum", "pbft")
MODES = (*LEDGER_MODES, "plain")
TRAININGS = ("none", "one_epoch")

PAPER_LENGTH = 1_663_370  # parameters of the paper's CNN
PAPER_CLIENTS = 50

NODES = 4
REPLICAS = 4
AGGREGATORS = 3  # quorum: 2f + 1 of them, f + 1 signatures


@dataclass(frozen=True)
class Setting:
    """One run. The first of `rounds` + 1 rounds warms up, and counts in no time."""

    mode: str
    clients: int
    length: int
    rounds: int
    watchers: int
    training: str
    rule: str
    processes: int  # that play the clients
    threads: int  # of an aggregation
    block_ms: int  # about

    @property
    def total_rounds(self) -> int:
        return self.rounds + 1
