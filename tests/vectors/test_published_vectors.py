"""Every published vector holds: for the oracle that wrote it, for the reference, and for the kernels."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from offchain.kernels import aggregate as kernels
from optfl import aggregation, merkle
from optfl.rules import parse_rule
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
    base, weights = np.array(case["base"], dtype=np.int32), case["weights"]
    chunk = np.array(case["updates"], dtype=np.int16)
    assert rule.output(chunk, rule.weights(None, weights)).tolist() == case["aggregate"]
    assert aggregation.aggregate_chunk(rule, base, chunk, weights).tolist() == case["model"]
    updates = list(chunk)
    for chunk_values in (1, 5, 4096):
        assert aggregation.aggregate(rule, base, updates, weights, chunk_values).tolist() == case["model"]
    assert kernels.aggregate(rule, base, updates, weights).tolist() == case["model"]
