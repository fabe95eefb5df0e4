"""Write the published test vectors: `PYTHONPATH=tests python -m vectors.generate`.

They come from `support.oracle`, which shares no code with the implementation, and are the same on every machine.
Another implementation of the protocol should agree with every one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from support import oracle

FOLDER = Path(__file__).parent
INT8 = (-(2**7), 2**7 - 1)
INT16 = (-(2**15), 2**15 - 1)
INT32 = (-(2**31), 2**31 - 1)
INT64 = (-(2**63), 2**63 - 1)

Json = dict[str, Any]


def draw_integers(seed: str, low: int, high: int) -> Iterator[int]:
    """Integers from SHA-256(seed ‖ counter): the same in every version of every language."""
    counter = 0
    while True:
        digest = hashlib.sha256(f"{seed}/{counter}".encode()).digest()
        yield low + int.from_bytes(digest, "big") % (high - low + 1)
        counter += 1


def take(seed: str, count: int, bounds: tuple[int, int]) -> list[int]:
    integers = draw_integers(seed, *bounds)
    return [next(integers) for _ in range(count)]


def build_merkle() -> Json:
    trees = []
    for size in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33):
        leaves = [b"leaf %d" % i for i in range(size)]
        trees.append(
            {
                "leaves": [leaf.hex() for leaf in leaves],
                "root": oracle.compute_root(leaves).hex(),
                "paths": [[aunt.hex() for aunt in oracle.compute_path(leaves, i)] for i in range(size)],
            }
        )
    simple_maps = []
    for size in (0, 1, 2, 3, 5, 8):
        items = {b"key %d" % i: b"value" * i for i in range(size)}
        simple_maps.append(
            {
                "items": [{"key": key.hex(), "value": value.hex()} for key, value in items.items()],
                "root": oracle.compute_simple_map_root(items).hex(),
            }
        )
    return {
        "about": "RFC 6962 trees (leaves are data, not hashes; paths bottom-up) and CometBFT's simple maps.",
        "trees": trees,
        "simple_maps": simple_maps,
    }


def build_vectors() -> Json:
    cases = []
    for dtype, bounds in (("int16", INT16), ("int32", INT32), ("int8", INT8)):
        for length, chunk_values in ((1, 1), (1, 2048), (4, 4), (5, 4), (19, 4), (33, 1), (100, 16)):
            values = [*bounds, *take(f"vectors/{dtype}/{length}", length, bounds)][:length]
            cases.append(
                {
                    "dtype": dtype,
                    "chunk_values": chunk_values,
                    "values": values,
                    "data": oracle.encode_values(dtype, values).hex(),
                    "root": oracle.compute_vector_root(dtype, values, chunk_values).hex(),
                    "id": oracle.compute_vector_id(dtype, values, chunk_values).hex(),
                }
            )
    return {"about": "Chunked vectors: little-endian bytes, root over the chunks, and id.", "vectors": cases}


def build_rules() -> Json:
    cases = []
    for updates in (1, 2, 3, 4, 5, 8, 9, 20):
        for rule in ("fedavg()", "median()", *(f"trimmed_mean(f={f})" for f in (0, 1, 4) if 2 * f < updates)):
            for about, bounds in (("whole range", INT16), ("ties", (-2, 1))):
                seed = f"rules/{about}/{updates}"
                inputs = [take(f"{seed}/{k}", 12, bounds) for k in range(updates)]
                weights = take(f"{seed}/weights", updates, (1, 1000))
                cases.append(build_rule(about, rule, take(f"{seed}/base", 12, INT32), inputs, weights))
    for rule in ("fedavg()", "median()", "trimmed_mean(f=1)"):
        for about, value in (("all lowest", INT16[0]), ("all highest", INT16[1]), ("zeros", 0)):
            cases.append(build_rule(about, rule, [0, 1, -1], [[value] * 3] * 5, [1, 2, 3, 4, 5]))
        saturating = [INT32[1], INT32[1] - 1, INT32[1] - 2, INT32[0], INT32[0] + 1, INT32[0] + 2]
        update = [1, 1, 1, -1, -1, -1]
        cases.append(build_rule("saturating by one", rule, saturating, [update] * 3, [1, 1, 1]))
        update = [INT16[1]] * 3 + [INT16[0]] * 3
        cases.append(build_rule("saturating by all", rule, saturating, [update] * 3, [1, 1, 1]))
        cases.append(build_rule("leaving saturation", rule, saturating, [update[::-1]] * 3, [1, 1, 1]))
    halves = [[1, -1, -2, 3, -3], [2, -2, -1, 0, 0]]
    cases.extend(build_rule("halves go up", rule, [0] * 5, halves, [7, 7]) for rule in ("fedavg()", "median()"))
    largest = [2**32 - 1, 2**32 - 1, 1]
    cases.append(build_rule("largest weights", "fedavg()", [0] * 2, [[*INT16], [*INT16], [*INT16[::-1]]], largest))
    for rule, numbers in ROBUST.items():
        for updates in numbers:
            for about, bounds in (("whole range", INT16), ("ties", (-2, 1))):
                seed = f"rules/{about}/{updates}"
                inputs = [take(f"{seed}/{k}", 6, bounds) for k in range(updates)]
                weights = take(f"{seed}/weights", updates, (1, 1000))
                cases.append(build_rule(about, rule, take(f"{seed}/base", 6, INT32), inputs, weights))
        extremes = [[INT16[k % 2], INT16[(k + 1) % 2], INT16[0]] for k in range(numbers[0])]
        cases.append(build_rule("alternating extremes", rule, [0, 1, -1], extremes, [2**32 - 1] * numbers[0]))
        cases.append(build_rule("zeros", rule, [0, 1, -1], [[0] * 3] * numbers[0], [1] * numbers[0]))
    many = [take(f"rules/many/{k}", 2, INT16) for k in range(65)]
    cases.extend(
        build_rule("selections of two words", rule, [0, 0], many, [1] * 65)
        for rule in ("krum(f=20)", "multi_krum(f=32)", "bulyan(f=15)", "nnm(f=16) | median()")
    )
    return {
        "about": "model = saturate32(base + aggregate), aggregate = the rule over updates in selection order.",
        "rules": cases,
    }


ROBUST = {  # numbers of updates, the first often the least
    "meamed(f=0)": (1, 2),
    "meamed(f=2)": (5, 8),
    "krum(f=0)": (1, 2),
    "krum(f=2)": (5, 9),
    "multi_krum(f=2)": (5, 9),
    "bulyan(f=0)": (3, 4),
    "bulyan(f=1)": (7, 10),
    "bulyan(f=2)": (11,),
    "geometric_median(steps=1)": (1, 4),
    "geometric_median(steps=3)": (1, 2, 9),
    "geometric_median(steps=32)": (5,),
    "centred_clipping(norm=0, steps=1)": (1, 4),
    "centred_clipping(norm=0, steps=3)": (2, 9),
    "centred_clipping(norm=2, steps=2)": (5,),
    "centred_clipping(norm=30000, steps=3)": (6,),
    "norm_clipped_mean(norm=0)": (1, 2, 9),
    "norm_clipped_mean(norm=2)": (4,),
    "norm_clipped_mean(norm=30000)": (5,),
    "minimum_diameter(f=0)": (1, 3),
    "minimum_diameter(f=2)": (5, 9),
    "nnm(f=2) | median()": (5, 8),
    "nnm(f=2) | krum(f=2)": (7,),
    "nnm(f=1) | bulyan(f=1)": (7,),
    "bucketing(s=2) | median()": (1, 2, 7),
    "bucketing(s=3) | fedavg()": (2, 8),
    "bucketing(s=2) | geometric_median(steps=2)": (7,),
    "clipping(norm=0) | trimmed_mean(f=1)": (3, 6),
    "clipping(norm=30000) | meamed(f=1)": (5,),
    "arc(f=2) | median()": (5, 8),
    "arc(f=1) | clipping(norm=900) | norm_clipped_mean(norm=0)": (3, 6),
    "clipping(norm=0) | bucketing(s=2) | fedavg()": (4, 7),
    "arc(f=2) | nnm(f=2) | krum(f=2)": (7,),
    "bucketing(s=2) | clipping(norm=0) | norm_clipped_mean(norm=20000)": (9,),
    "arc(f=1) | clipping(norm=0) | nnm(f=1) | bucketing(s=2) | centred_clipping(norm=0, steps=2)": (8,),
}


def build_rule(
    about: str, rule: str, base: Sequence[int], updates: Sequence[Sequence[int]], weights: list[int]
) -> Json:
    """Rules that draw have a beacon, and those with totals a trace and what it decides."""
    beacon = hashlib.sha256(f"{rule}/{len(updates)}".encode()).digest()
    case: Json = {"about": about, "rule": rule, "base": base, "updates": updates, "weights": weights}
    if "bucketing" in rule:
        case["beacon"] = beacon.hex()
    if oracle.needs_totals(rule):
        case["trace"] = oracle.compute_totals(rule, updates)
        case["rule_weights"] = oracle.decide_from_totals(rule, case["trace"], weights, beacon)
    case["aggregate"] = oracle.apply_rule(rule, updates, weights, beacon)
    case["model"] = oracle.aggregate(rule, base, updates, weights, beacon)
    return case


def build_totals() -> Json:
    cases = []
    for rule, numbers in ROBUST.items():
        if oracle.needs_totals(rule):
            for about, bounds in (("any int64", INT64), ("small", (-2, 2)), ("edges", (0, 2))):
                updates = numbers[-1]
                totals = take(f"totals/{about}/{updates}", len(oracle.list_pairs(rule, updates)), bounds)
                if about == "edges":
                    totals = [(INT64[0], INT64[1], 0)[total] for total in totals]
                weights = take(f"totals/{about}/{updates}/weights", updates, (1, 1000))
                beacon = hashlib.sha256(f"{rule}/{updates}".encode()).digest()
                case: Json = {"about": about, "rule": rule, "weights": weights, "beacon": beacon.hex()}
                case |= {"totals": totals, "rule_weights": oracle.decide_from_totals(rule, totals, weights, beacon)}
                cases.append(case)
    return {"about": "What totals decide that somebody claims and no updates have.", "claims": cases}


FILES: dict[str, Callable[[], Json]] = {
    "merkle.json": build_merkle,
    "vectors.json": build_vectors,
    "rules.json": build_rules,
    "totals.json": build_totals,
}


def render(content: Json) -> str:
    """JSON with one case a line."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            cases = ",\n".join(f"  {json.dumps(case)}" for case in value)
            lines.append(f"{json.dumps(key)}: [\n{cases}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    for name, build in FILES.items():
        (FOLDER / name).write_text(render(build()), encoding="utf-8")


if __name__ == "__main__":
    main()
