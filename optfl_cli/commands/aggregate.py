"""`optfl aggregate`: a round's aggregate from files, without ledger or replicas, bit for bit what they agree on."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from optfl import merkle, tasks, traces
from optfl.rules import RoundFacts, RuleError, Totals, TotalsKind, parse_rule
from optfl.vectors import DEFAULT_CHUNK_VALUES, ChunkedVector, Shape, ShapeError
from optfl_cli.display import print_fields, print_json
from optfl_cli.errors import UserError
from optfl_cli.messages import parse_hex
from optfl_cli.options import PATH
from optfl_cli.roles import load_kernel

_MODEL_VALUES = 1 << 20  # hashed at a time, and more where chunks are larger


@click.command()
@click.option("--rule", "rule_text", required=True, metavar="RULE", help='As in a task, e.g. "nnm(f=2) | median()".')
@click.option("--base", type=PATH, required=True, help="The model before: int32 values.")
@click.option("--output", type=PATH, required=True, help="File to write the new model to: int32 values.")
@click.option(
    "--weights", "weights_text", metavar="W,W,…", help="Sample weights, one for each update; default: 1 each."
)
@click.option(
    "--beacon", "beacon_text", metavar="HEX", default="", help="The round's beacon, for rules that draw by it."
)
@click.option(
    "--trace", "trace_path", type=PATH, help="File to write the trace to, of a rule that has one: int64 values."
)
@click.option("--threads", type=click.IntRange(1), help="Cores to use. [default: all]")
@click.option("--update-bits", type=click.Choice(["8", "16"]), default="16", show_default=True, help="The task's.")
@click.option(
    "--update-shift", type=click.IntRange(0, tasks.MAX_UPDATE_SHIFT), help="The task's, of updates of 8 bits."
)
@click.option(
    "--chunk-values", type=int, default=DEFAULT_CHUNK_VALUES, show_default=True, help="The task's, for the root."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("updates", type=PATH, nargs=-1, required=True)
def command(
    rule_text: str,
    base: Path,
    output: Path,
    weights_text: str | None,
    beacon_text: str,
    trace_path: Path | None,
    threads: int | None,
    update_bits: str,
    update_shift: int | None,
    chunk_values: int,
    as_json: bool,
    updates: tuple[Path, ...],
) -> None:
    """Compute the new model of a round from the base and its UPDATES, int16 or int8, in selection order.

    Files whose names end in .npy are NumPy's; all others hold little-endian values alone, as replicas store them. They
    are read piece by piece, so that rounds need not fit into memory. Prints the roots that the ledger would know.
    """
    load_kernel(threads)
    from offchain.kernels.files import VectorFileError, create_vector_file
    from offchain.kernels.streaming import aggregate_files

    if update_bits == "16" and update_shift:
        raise UserError("only updates of 8 bits are shifted; add --update-bits 8, or leave out --update-shift")
    shift = None if update_bits == "16" else update_shift or 0
    facts = RoundFacts(_parse_weights(weights_text, len(updates)), parse_hex(beacon_text, None, "--beacon"))
    _allow_open_files(len(updates))
    started = time.monotonic()
    try:
        Shape("int32", 1, chunk_values)
        rule = parse_rule(rule_text)
        if trace_path is not None and not rule.totals:
            raise UserError(f"{rule} has no trace; leave out --trace")
        done = aggregate_files(rule, base, updates, facts, output, update_shift=shift, threads=threads)
        seconds = time.monotonic() - started
        if trace_path is not None and done.trace is not None:
            with create_vector_file(trace_path, "int64", len(done.trace)) as writer:
                writer.write(done.trace, 0)
        length, model_root = _hash_model(output, chunk_values)
    except (RuleError, ShapeError, VectorFileError) as error:
        raise UserError(str(error)) from None
    fields: dict[str, Any] = {
        "rule": str(rule),
        "updates": len(updates),
        "values": length,
        "seconds": round(seconds, 3),
        "model_root": model_root.hex(),
    }
    if done.trace is not None:
        fields["trace_root"] = _hash_trace(rule.totals, done.trace, length, len(updates)).hex()
    if as_json:
        print_json({**fields, "weights": list(done.weights)})
    else:
        print_fields(str(output), {**fields, "weights": " ".join(map(str, done.weights)) or "none"})


def _parse_weights(text: str | None, updates: int) -> tuple[int, ...]:
    if text is None:
        return (1,) * updates
    try:
        return tuple(int(weight) for weight in text.split(","))
    except ValueError:
        raise UserError(f"--weights {text[:64]!r}: use whole numbers with commas between them") from None


def _allow_open_files(count: int) -> None:
    """All updates are open at once, which the usual limit of 1024 may not allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _hash_model(path: Path, chunk_values: int) -> tuple[int, bytes]:
    """Length and root of the model in the file, piece by piece."""
    from offchain.kernels.files import VectorFile

    leaves: list[bytes] = []
    with VectorFile(path, "int32") as file:
        step = max(_MODEL_VALUES, chunk_values)  # both are powers of two
        for start in range(0, file.length, step):
            values = np.empty(min(step, file.length - start), dtype=np.int32)
            file.read_into(values, start)
            leaves += merkle.hash_leaves(values.astype("<i4", copy=False).tobytes(), 4 * chunk_values)
        return file.length, merkle.compute_root(leaves)


def _hash_trace(kind: TotalsKind, trace: Totals, length: int, updates: int) -> bytes:
    return ChunkedVector(traces.trace_shape(kind, length, updates), trace).root
