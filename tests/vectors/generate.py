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
    return {
        "about": "model = saturate32(base + aggregate), aggregate = the rule over updates in selection order.",
        "rules": cases,
    }


def build_rule(
    about: str, rule: str, base: Sequence[int], updates: Sequence[Sequence[int]], weights: list[int]
) -> Json:
    return {
        "about": about,
        "rule": rule,
        "base": base,
        "updates": updates,
        "weights": weights,
        "aggregate": oracle.apply_rule(rule, updates, weights),
        "model": oracle.aggregate(rule, base, updates, weights),
    }


FILES: dict[str, Callable[[], Json]] = {
    "merkle.json": build_merkle,
    "vectors.json": build_vectors,
    "rules.json": build_rules,
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
