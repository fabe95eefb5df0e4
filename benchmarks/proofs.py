"""How large a proof is and how long the ledger takes for it: `python -m benchmarks.proofs`. With `--json`, one a line.

For each rule, number of updates and kind: the signed transaction's bytes, and the best of several times that
`optfl.fraud.is_fraud` took for it, on one thread, without numba or torch. The proofs are real ones, of vectors of the
length of the paper's CNN. A task takes the largest chunks of at most 2048 values with which it is not refused; where
it is refused with any, the reason stands there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click
import numpy as np

from abci_app.genesis import DEFAULT_PARAMS
from benchmarks.federations import print_table
from benchmarks.setting import PAPER_LENGTH
from optfl import tasks, traces
from optfl.aggregation import derive_weights
from optfl.fraud import (
    Proof,
    build_output_proof,
    build_step_proof,
    build_weights_proof,
    forget_judgements,
    is_fraud,
    wrap_proof,
)
from optfl.keys import SigningKey
from optfl.rules import RuleError, parse_rule
from optfl.rules.base import check_updates
from optfl.rules.gram import compute_totals, list_pairs
from optfl.transactions import MAX_TRANSACTION_BYTES, sign_transaction
from optfl.vectors import ChunkedVector
from optfl.wire import state_pb2, transaction_pb2

UPDATES = (10, 50, 100, 1000)
MOST_CHUNK_VALUES, LEAST_CHUNK_VALUES = 2048, 16
RULES = (
    "fedavg()",
    "median()",
    "trimmed_mean(f=2)",
    "meamed(f=2)",
    "krum(f=2)",
    "multi_krum(f=2)",
    "bulyan(f=1)",
    "geometric_median(steps=3)",
    "centred_clipping(norm=0, steps=3)",
    "norm_clipped_mean(norm=0)",
    "minimum_diameter(f=2)",
    "nnm(f=2) | trimmed_mean(f=2)",
    "bucketing(s=2) | krum(f=1)",
    "clipping(norm=0) | median()",
    "arc(f=2) | trimmed_mean(f=2)",
    "arc(f=2) | geometric_median(steps=3)",
)
_KEY = SigningKey.from_seed(bytes(32))


@dataclass(frozen=True)
class Line:
    """One proof, or a refusal: `bytes` and `milliseconds` are 0 then."""

    rule: str
    k: int
    kind: str
    chunk_values: int
    bytes: int
    milliseconds: float
    refused: str


def choose_parameters(rule: str, updates: int) -> tuple[transaction_pb2.TaskParameters, str]:
    """Parameters with the largest chunks that a ledger at its defaults takes, or the reason why it takes none."""
    parameters = transaction_pb2.TaskParameters(
        rule=rule, length=PAPER_LENGTH, chunk_values=MOST_CHUNK_VALUES, clients_per_round=updates
    )
    reason = ""
    try:
        check_updates(parse_rule(rule), updates)
    except RuleError as error:
        return parameters, str(error)
    while parameters.chunk_values >= LEAST_CHUNK_VALUES:
        size, work = tasks.compute_proof_bytes(parameters), tasks.compute_proof_operations(parameters)
        if size <= MAX_TRANSACTION_BYTES and work <= DEFAULT_PARAMS["max_proof_operations"]:
            return parameters, ""
        reason = f"{size:,} bytes" if size > MAX_TRANSACTION_BYTES else f"{work:,} operations"
        parameters.chunk_values //= 2
    return parameters, reason


def build_proofs(parameters: transaction_pb2.TaskParameters) -> Iterator[tuple[state_pb2.Attempt, str, Proof]]:
    """A proof of each kind that the rule has. All updates are one and the same vector: sizes and work are as of others.

    But for the totals, which are those of different ones: on equal ones a decision would be too easy.
    """
    updates, draw = parameters.clients_per_round, np.random.default_rng(0)
    values = draw.integers(-3000, 3000, parameters.length, dtype=np.int16)
    update = ChunkedVector(tasks.update_shape(parameters), values)
    model = ChunkedVector(tasks.model_shape(parameters), values.astype(np.int32))
    attempt = state_pb2.Attempt(
        base_root=model.root,
        model_root=model.root,
        rule=parameters.rule,
        inputs=[state_pb2.Input(update_root=update.root, weight=1 + i) for i in range(updates)],
        round_beacon=bytes(32),
    )
    rule, facts = parse_rule(parameters.rule), tasks.get_facts(attempt)
    if kind := rule.totals:
        short = draw.integers(-3000, 3000, (updates, 1000), dtype=np.int16)
        totals = compute_totals(kind, short) * (parameters.length // 1000)
        rows = np.zeros((traces.count_rows(parameters.length), len(totals)), dtype=np.int64)
        rows[-1] = totals
        trace = ChunkedVector(tasks.trace_shape(parameters, updates), rows.reshape(-1))
        attempt.reduction.trace_root = trace.root
        weights = derive_weights(rule, totals, facts)
        attempt.reduction.weights.extend(weights)
        row = traces.count_rows(parameters.length) - 2  # the last full one
        j, k = (int(index[updates - 1]) for index in list_pairs(kind, updates))
        yield attempt, "step", build_step_proof(kind, traces.Entry(row, j, k), [update] * updates, trace)
        yield attempt, "weights", build_weights_proof(kind, trace, updates)
    yield attempt, "output", build_output_proof(model.shape.chunks // 2, [update] * updates, model, model)


def measure(rule: str, updates: int, repeats: int) -> Iterator[Line]:
    """All proofs of a rule and a number of updates."""
    parameters, refused = choose_parameters(rule, updates)
    if refused:
        yield Line(rule, updates, "", 0, 0, 0.0, refused)
        return
    for attempt, kind, proof in build_proofs(parameters):
        body = transaction_pb2.Body(chain_id="benchmark", submit_fraud_proof=wrap_proof(attempt, proof))
        size = len(sign_transaction(_KEY, body))
        times = []
        for _ in range(repeats):
            forget_judgements()  # a proof that was judged before costs a hash
            started = time.perf_counter()
            is_fraud(parameters, attempt, proof)
            times.append(time.perf_counter() - started)
        yield Line(rule, updates, kind, parameters.chunk_values, size, round(1000 * min(times), 2), "")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--updates", multiple=True, type=int, default=UPDATES, show_default=True, help="K; may be repeated.")
@click.option("--rule", "rules", multiple=True, default=RULES, help="A rule; may be repeated. By default all.")
@click.option("--repeats", default=5, show_default=True, help="Of which the best counts.")
def main(*, as_json: bool, updates: tuple[int, ...], rules: tuple[str, ...], repeats: int) -> None:
    """Sizes of fraud proofs, and the ledger's time for each."""
    lines = [line for rule in rules for k in updates for line in _report(rule, k, repeats, as_json=as_json)]
    if not as_json:
        columns = ("rule", "K", "chunk", "output", "step", "weights", "refused")
        print_table("Bytes of the transaction · milliseconds to judge it", columns, list(_tabulate(lines)))


def _report(rule: str, updates: int, repeats: int, *, as_json: bool) -> Iterator[Line]:
    for line in measure(rule, updates, repeats):
        if as_json:
            click.echo(json.dumps(asdict(line)))
        yield line


def _tabulate(lines: list[Line]) -> Iterator[list[str]]:
    for rule, k in dict.fromkeys((line.rule, line.k) for line in lines):
        found = {line.kind: line for line in lines if (line.rule, line.k) == (rule, k)}
        first = next(iter(found.values()))
        cells = [
            f"{found[kind].bytes:,} · {found[kind].milliseconds:.1f}" if kind in found else "–"
            for kind in ("output", "step", "weights")
        ]
        yield [f"`{rule}`".replace("|", "\\|"), str(k), str(first.chunk_values or "–"), *cells, first.refused or "–"]


if __name__ == "__main__":
    main()
