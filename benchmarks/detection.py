"""How often a watcher that samples chunks finds a lie, what that costs it, and up to which gain it deters.

    python -m benchmarks.detection            a table, in under a minute
    python -m benchmarks.detection --json     one JSON object a line
    python -m benchmarks.detection --plot     also docs/figures/detection.svg and break_even.svg

The production validator (`offchain.roles.validator`) looks at attempts whose model is wrong in some chunks, each time
with a private seed of its own. What it finds is held against the probabilities: 1 − (1 − p)^m for m corrupted chunks of
n, each looked at with probability p, and the hypergeometric one for a sample of exactly p·n chunks.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offchain.interfaces import BlobUnavailable, TransactionResult
from offchain.roles.computing import inline
from offchain.roles.validator import Validator
from offchain.roles.watching import Policy
from optfl import tasks
from optfl.aggregation import aggregate
from optfl.keys import SigningKey
from optfl.rules import RoundFacts, parse_rule
from optfl.vectors import ChunkedVector, Opening, Shape
from optfl.wire import receipt_pb2, state_pb2, transaction_pb2
from optfl_sim.quiet import no_warnings

CHUNKS = 100
UPDATES = 3
RULE = "median()"
CORRUPTED = (1, 2, 5, 10, 25, 50)  # chunks of 100
SHARES = (0.01, 0.05, 0.1, 0.25, 1.0)


@dataclass(frozen=True)
class Finding:
    """Of `trials` attempts with `corrupted` wrong chunks, how many one watcher with this share found."""

    corrupted: int
    share: float
    trials: int
    found: int
    chunks_looked_at: float  # of 100, on average: a sampler stops at the first wrong one

    @property
    def measured(self) -> float:
        return self.found / self.trials

    @property
    def independent(self) -> float:
        """1 − (1 − p)^m: chunks are drawn one by one, as the watcher does."""
        return float(1 - (1 - self.share) ** self.corrupted)

    @property
    def hypergeometric(self) -> float:
        """1 − C(n − m, k)/C(n, k) with k = p·n: samples of exactly that size."""
        drawn = round(self.share * CHUNKS)
        return 1 - math.comb(CHUNKS - self.corrupted, drawn) / math.comb(CHUNKS, drawn)

    @property
    def break_even(self) -> float:
        """Outside gain, in stakes, above which one lie pays all the same: P/(1 − P).

        It costs the stake with probability P and gains otherwise. P is the probability and not the measurement: that
        a few hundred trials were all found does not make a lie hopeless.
        """
        return math.inf if self.share == 1 else self.independent / (1 - self.independent)

    def to_json(self) -> str:
        return json.dumps(
            {
                "corrupted_percent": self.corrupted,
                "share": self.share,
                "trials": self.trials,
                "detected": round(self.measured, 4),
                "expected_independent": round(self.independent, 4),
                "expected_hypergeometric": round(self.hypergeometric, 4),
                "chunks_reexecuted_percent": round(self.chunks_looked_at, 2),
                "break_even_stakes": None if math.isinf(self.break_even) else round(self.break_even, 4),
            }
        )


class OneTask:
    """`Ledger` and `Blobs` of a watcher that is asked about one attempt: all vectors are at hand."""

    chain_id = "benchmark"

    def __init__(self, vectors: Sequence[ChunkedVector]) -> None:
        self.address = SigningKey.from_seed(bytes(32)).address
        self._by_root = {vector.root: vector for vector in vectors}
        self._by_id = {vector.id: vector for vector in vectors}

    async def get(self, task_id: int, shape: Shape, vector_id: bytes, replicas: Sequence[bytes]) -> bytes:
        return bytes(self._by_id[vector_id].data)

    async def get_chunk(
        self, task_id: int, shape: Shape, root: bytes, chunk: int, replicas: Sequence[bytes]
    ) -> Opening:
        return self._by_root[root].opening(chunk)

    async def put(self, *args: object) -> receipt_pb2.Certificate:
        raise BlobUnavailable("nothing is stored here")

    async def offer(self, task_id: int, shape: Shape, vector_id: bytes, data: bytes) -> None:
        pass

    async def wait_for_block(self, after_height: int) -> int:
        return after_height + 1

    async def wait_for_change(self, task_id: int, after_height: int) -> int:
        return after_height + 1

    async def get_task(self, task_id: int) -> state_pb2.TaskView | None:
        return None

    async def list_tasks(self) -> Sequence[state_pb2.Task]:
        return []

    async def get_stakes(self, address: bytes) -> Sequence[state_pb2.Stake]:
        return []

    async def submit(self, body: transaction_pb2.Body) -> TransactionResult:
        raise NotImplementedError("a watcher's findings are counted, not sent")


async def measure(corrupted: int, share: float, trials: int, seed: int) -> Finding:
    """Ask `trials` watchers, each with its own private seed, about a model that is wrong in `corrupted` chunks."""
    view, attempt, world = _make_attempt(corrupted, seed)
    found = looked_at = 0
    for trial in range(trials):
        validator = Validator(
            world,
            world,
            lambda rule, base, updates, facts: aggregate(rule, base, updates, facts, max(len(base), 1)),
            policy=Policy(share=share),
            private_seed=seed.to_bytes(8, "big") + trial.to_bytes(8, "big"),
            compute=inline,
        )
        finding = await validator.examine(view, attempt)
        found += finding is not None
        looked_at += validator.cost.chunks + CHUNKS * validator.cost.aggregations
    return Finding(corrupted, share, trials, found, looked_at / trials)


def _make_attempt(corrupted: int, seed: int) -> tuple[state_pb2.TaskView, state_pb2.Attempt, OneTask]:
    draw = np.random.default_rng((seed, corrupted))
    parameters = transaction_pb2.TaskParameters(rule=RULE, length=CHUNKS * 16, chunk_values=16, fraction_bits=12)
    update_shape, model_shape = tasks.update_shape(parameters), tasks.model_shape(parameters)
    base = ChunkedVector(model_shape, np.zeros(parameters.length, dtype=np.int32))
    updates = [
        ChunkedVector(update_shape, draw.integers(-500, 500, parameters.length).astype(np.int16))
        for _ in range(UPDATES)
    ]
    facts = RoundFacts((1,) * UPDATES)
    values = aggregate(parse_rule(RULE), base.values, [u.values for u in updates], facts, 16).model
    for chunk in draw.choice(CHUNKS, corrupted, replace=False):
        values[16 * chunk] += 1
    model = ChunkedVector(model_shape, values)
    task = state_pb2.Task(task_id=1, parameters=parameters, status=state_pb2.TASK_STATUS_RUNNING)
    attempt = state_pb2.Attempt(
        task_id=1,
        attempt_id=1,
        round=1,
        aggregator=bytes(20),
        base_root=base.root,
        inputs=[state_pb2.Input(client=bytes(20), update_root=u.root, weight=1) for u in updates],
        rule=RULE,
        model_root=model.root,
        status=state_pb2.ATTEMPT_STATUS_OPEN,
    )
    view = state_pb2.TaskView(height=1, task=task, attempts=[attempt])
    return view, attempt, OneTask([base, model, *updates])


def print_table(findings: Sequence[Finding]) -> None:
    header = ("corrupted", "share", "detected", "1-(1-p)^m", "hypergeom.", "cost", "deters up to")
    print("{:>9} {:>6} {:>9} {:>10} {:>10} {:>7} {:>16}".format(*header))
    for f in findings:
        deters = f"{f.break_even:.3g} stakes" if f.break_even < 1000 else "over 1000 stakes"
        deters = "any gain" if math.isinf(f.break_even) else deters
        print(
            f"{f.corrupted:>8}% {f.share:>6.2f} {f.measured:>9.3f} {f.independent:>10.3f} {f.hypergeometric:>10.3f}"
            f" {f.chunks_looked_at:>6.1f}% {deters:>16}"
        )


def plot(findings: Sequence[Finding]) -> None:
    from benchmarks.plots import save_plot

    def detection(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        for share in sorted({f.share for f in findings if f.share < 1}):
            row = [f for f in findings if f.share == share]
            (line,) = axes.plot([f.corrupted for f in row], [f.hypergeometric for f in row], lw=1, alpha=0.7)
            axes.plot(
                [f.corrupted for f in row],
                [f.measured for f in row],
                "o",
                color=line.get_color(),
                label=f"p = {share:g}",
            )
        axes.set(xlabel="corrupted chunks of 100", ylabel="found by one watcher", ylim=(0, 1.02), xscale="log")
        axes.set_xticks(CORRUPTED, [str(c) for c in CORRUPTED])
        axes.set_title("dots: measured; lines: hypergeometric", fontsize=9, loc="left")
        axes.legend(frameon=False, title="share of chunks looked at")

    def break_even(axes) -> None:  # type: ignore[no-untyped-def]  # matplotlib's axes
        for share in sorted({f.share for f in findings if f.share < 1}):
            row = [f for f in findings if f.share == share and not math.isinf(f.break_even) and f.break_even > 0]
            axes.plot([f.corrupted for f in row], [f.break_even for f in row], "o-", label=f"p = {share:g}")
        axes.set(
            xlabel="corrupted chunks of 100", ylabel="gain at which a lie pays, in stakes", xscale="log", yscale="log"
        )
        axes.set_xticks(CORRUPTED, [str(c) for c in CORRUPTED])
        axes.legend(frameon=False, title="share of chunks looked at")

    save_plot("detection", detection)
    save_plot("break_even", break_even)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--plot", action="store_true", help="also write the plots of docs/experiments.md")
    parser.add_argument("--trials", type=int, default=400, help="attempts a row (default 400)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    if options.trials < 1:
        parser.error("--trials is less than 1; ask for at least one attempt a row")
    with no_warnings():
        findings = [
            asyncio.run(measure(corrupted, share, options.trials if share < 1 else 20, options.seed))
            for share in SHARES
            for corrupted in CORRUPTED
        ]
    if options.json:
        for finding in findings:
            print(finding.to_json())
    else:
        print_table(findings)
    if options.plot:
        plot(findings)


if __name__ == "__main__":
    main()
