"""Every published vector holds: for the oracle that wrote it, for the reference, and for the kernels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from offchain.kernels import aggregate as kernels
from optfl import aggregation, merkle
from optfl.rules import RoundFacts, parse_rule
from optfl.rules.base import compute_output
from optfl.vectors import ChunkedVector, Shape, verify_opening
from vectors import generate


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((generate.FOLDER / name).read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", generate.FILES)
def test_the_files_are_what_the_generator_writes(name: str) -> None:
    written = (generate.FOLDER / name).read_text(encoding="utf-8")
    assert written == generate.render(generate.FILES[name]()), "run: PYTHONPATH=tests python -m vectors.generate"


@pytest.mark.parametrize("tree", load("merkle.json")["trees"], ids=lambda tree: f"{len(tree['leaves'])} leaves")
def test_merkle_tree(tree: dict[str, Any]) -> None:
    leaf_hashes = [merkle.hash_leaf(bytes.fromhex(leaf)) for leaf in tree["leaves"]]
    assert merkle.compute_root(leaf_hashes).hex() == tree["root"]
    for index, path in enumerate(tree["paths"]):
        aunts = [bytes.fromhex(aunt) for aunt in path]
        assert merkle.compute_path(leaf_hashes, index) == aunts
        root = merkle.compute_root_from_path(leaf_hashes[index], index, len(leaf_hashes), aunts)
        assert root.hex() == tree["root"]


@pytest.mark.parametrize("case", load("merkle.json")["simple_maps"], ids=lambda case: f"{len(case['items'])} items")
def test_simple_map(case: dict[str, Any]) -> None:
    items = {bytes.fromhex(item["key"]): bytes.fromhex(item["value"]) for item in case["items"]}
    assert merkle.compute_simple_map_root(items).hex() == case["root"]


@pytest.mark.parametrize(
    "case", load("vectors.json")["vectors"], ids=lambda case: f"{case['dtype']}[{len(case['values'])}]"
)
def test_vector(case: dict[str, Any]) -> None:
    shape = Shape(case["dtype"], len(case["values"]), case["chunk_values"])
    vector = ChunkedVector(shape, np.array(case["values"], dtype=case["dtype"]))
    assert vector.data.hex() == case["data"]
    assert vector.root.hex() == case["root"]
    assert vector.id.hex() == case["id"]
    for chunk in range(shape.chunks):
        verify_opening(shape, bytes.fromhex(case["root"]), chunk, vector.opening(chunk))


@pytest.mark.parametrize(
    "case",
    load("rules.json")["rules"],
    ids=lambda case: f"{case['rule']} of {len(case['updates'])}, {case['about']}",
)
def test_rule(case: dict[str, Any]) -> None:
    rule = parse_rule(case["rule"])
    base, chunk = np.array(case["base"], dtype=np.int32), np.array(case["updates"], dtype=np.int16)
    facts = RoundFacts(tuple(case["weights"]), bytes.fromhex(case.get("beacon", "")))
    decided, trace = tuple(case.get("rule_weights", ())), case.get("trace")
    assert compute_output(rule.recipe(decided, facts), chunk).tolist() == case["aggregate"]
    assert aggregation.aggregate_chunk(rule, base, chunk, facts, decided).tolist() == case["model"]
    results = [aggregation.aggregate(rule, base, list(chunk), facts, chunk_values) for chunk_values in (1, 5, 4096)]
    results.append(kernels.aggregate(rule, base, list(chunk), facts))
    for result in results:
        assert result.model.tolist() == case["model"]
        assert result.weights == decided
        assert (None if result.trace is None else result.trace.tolist()) == trace


@pytest.mark.parametrize(
    "case", load("totals.json")["claims"], ids=lambda case: f"{case['rule']} of {len(case['weights'])}, {case['about']}"
)
def test_claimed_totals(case: dict[str, Any]) -> None:
    rule, facts = parse_rule(case["rule"]), RoundFacts(tuple(case["weights"]), bytes.fromhex(case["beacon"]))
    weights = aggregation.derive_weights(rule, np.array(case["totals"], dtype=np.int64), facts)
    assert list(weights) == case["rule_weights"]
    assert rule.recipe(weights, facts).denominator >= 1
