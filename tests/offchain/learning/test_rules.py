"""Exact rules on real vectors: what ByzFL computes, within the quantisation error, and as the kind that was given."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain.learning import rules
from offchain.learning.quantisation import QuantisationError
from offchain.learning.rules import FloatRule, Pipeline, choose_fraction_bits, parse
from optfl.rules import RuleError
from optfl.rules.bucketing import shuffle

byzfl = pytest.importorskip("byzfl", reason="the peer comes with the extra `bench`")

Matrix = npt.NDArray[np.float64]
BEACON = bytes(range(32))
FACTOR = 2**-20  # of a value: how far clipping rounds down


def byzfl_pipeline(*parts: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    def run(vectors: Matrix) -> Matrix:
        vectors = vectors.copy()  # some of ByzFL's write into what they are given
        for part in parts:
            vectors = part(vectors)
        return vectors

    return run


def norm_clipped_mean(norm: float) -> Callable[[Matrix], Matrix]:
    return byzfl_pipeline(byzfl.Clipping(c=norm), byzfl.Average())


PAIRS: list[tuple[FloatRule, Callable[[], Callable[[Matrix], Matrix]]]] = [
    (rules.Mean(), byzfl.Average),
    (rules.Median(), byzfl.Median),
    (rules.TrimmedMean(f=2), lambda: byzfl.TrMean(f=2)),
    (rules.MeanAroundMedian(f=2), lambda: byzfl.Meamed(f=2)),
    (rules.Krum(f=2), lambda: byzfl.Krum(f=2)),
    (rules.MultiKrum(f=3), lambda: byzfl.MultiKrum(f=3)),
    (rules.MinimumDiameterAveraging(f=2), lambda: byzfl.MDA(f=2)),
    (rules.CentredClipping(norm=3.0, steps=3), lambda: byzfl.CenteredClipping(L=3, tau=3.0)),
    (rules.CentredClipping(norm=1000.0), lambda: byzfl.CenteredClipping(L=1, tau=1000.0)),
    (rules.NormClippedMean(norm=2.0), lambda: norm_clipped_mean(2.0)),
    (
        Pipeline([rules.NearestNeighbourMixing(f=2)], rules.Median()),
        lambda: byzfl_pipeline(byzfl.NNM(f=2), byzfl.Median()),
    ),
    (
        Pipeline([rules.NearestNeighbourMixing(f=2)], rules.Krum(f=2)),
        lambda: byzfl_pipeline(byzfl.NNM(f=2), byzfl.Krum(f=2)),
    ),
    (
        Pipeline([rules.Clipping(norm=2.5)], rules.TrimmedMean(f=2)),
        lambda: byzfl_pipeline(byzfl.Clipping(c=2.5), byzfl.TrMean(f=2)),
    ),
    (
        Pipeline([rules.AdaptiveRobustClipping(f=2), rules.NearestNeighbourMixing(f=2)], rules.TrimmedMean(f=2)),
        lambda: byzfl_pipeline(byzfl.ARC(f=2), byzfl.NNM(f=2), byzfl.TrMean(f=2)),
    ),
]


def make_vectors(seed: int, n: int = 11, length: int = 40, scale: float = 1.0) -> Matrix:
    """A cluster and two updates far away."""
    random = np.random.default_rng(seed)
    vectors: Matrix = random.normal(size=(n, length)) * scale
    vectors[:2] *= 4
    return vectors[random.permutation(n)]


def quantise(vectors: Matrix) -> tuple[Matrix, float]:
    """The vectors that the exact rule sees, and their unit."""
    bits = choose_fraction_bits(vectors)
    return np.ldexp(np.rint(np.ldexp(vectors, bits)), -bits), 2.0**-bits


@pytest.mark.parametrize(
    ("rule", "peer"), PAIRS, ids=lambda item: str(item.build(8)) if isinstance(item, FloatRule) else ""
)
def test_of_what_it_sees_it_computes_what_byzfl_does_to_half_a_unit(
    rule: FloatRule, peer: Callable[[], Callable[[Matrix], Matrix]]
) -> None:
    """On quantised vectors nothing is lost but the last rounding, what factors are rounded down, and a norm's unit."""
    for seed, scale in product(range(5), (1.0, 1e-6, 1e6)):
        if scale != 1.0 and "norm=" in str(rule.build(8)):
            continue
        vectors, unit = quantise(make_vectors(seed, scale=scale))
        largest = float(np.abs(vectors).max())
        error = np.abs(rule(vectors) - peer()(vectors)).max()
        assert error <= unit / 2 + 3 * FACTOR * largest + unit * 0.2, (seed, scale)


@pytest.mark.parametrize("rule", [rules.Mean(), rules.Median(), rules.TrimmedMean(f=3)], ids=str)
def test_rules_that_choose_nothing_are_within_a_unit_of_byzfl_on_real_numbers(rule: FloatRule) -> None:
    peer = {"Mean": byzfl.Average(), "Median": byzfl.Median(), "TrimmedMean": byzfl.TrMean(f=3)}[type(rule).__name__]
    for seed in range(20):
        vectors = make_vectors(seed)
        unit = 2.0 ** -choose_fraction_bits(vectors)
        assert unit <= np.abs(vectors).max() / 2**14 * (1 + 2**-14)
        assert np.abs(rule(vectors) - peer(vectors)).max() <= unit


@pytest.mark.parametrize("f", [1, 2, 3])
def test_rules_that_choose_choose_what_byzfl_does_on_real_numbers(f: int) -> None:
    """In 40 dimensions scores of random vectors differ by more than quantising changes: the same choice, off a unit."""
    for seed in range(20):
        vectors = make_vectors(seed)
        unit = 2.0 ** -choose_fraction_bits(vectors)
        for rule, peer in (
            (rules.Krum(f), byzfl.Krum(f)),
            (rules.MultiKrum(f), byzfl.MultiKrum(f)),
            (rules.MinimumDiameterAveraging(f), byzfl.MDA(f)),
        ):
            assert np.abs(rule(vectors) - peer(vectors)).max() <= unit


@pytest.mark.parametrize("steps", [1, 3, 8])
def test_the_geometric_median_is_byzfl_s_with_a_unit_for_nu(steps: int) -> None:
    for seed in range(5):
        vectors, unit = quantise(make_vectors(seed))
        expected = byzfl.GeometricMedian(nu=unit, T=steps)(vectors)
        assert np.abs(rules.GeometricMedian(steps)(vectors) - expected).max() <= unit * 0.51


@pytest.mark.parametrize(("n", "s"), [(11, 3), (12, 3), (5, 2), (4, 1), (3, 5)])
def test_buckets_are_byzfl_s_in_the_beacon_s_order(monkeypatch: pytest.MonkeyPatch, n: int, s: int) -> None:
    class Beacon:
        @staticmethod
        def permutation(vectors: Matrix) -> Matrix:
            return vectors[shuffle(len(vectors), BEACON)]

    monkeypatch.setitem(byzfl.Bucketing.__call__.__globals__, "random_tool", lambda _: Beacon)
    vectors, unit = quantise(make_vectors(n, n))
    expected = byzfl.Median()(byzfl.Bucketing(s)(vectors))
    found = Pipeline([rules.Bucketing(s)], rules.Median())(vectors, beacon=BEACON)
    assert np.abs(found - expected).max() <= unit * 0.51


def test_bulyan_is_its_paper_s_in_floating_point() -> None:
    """ByzFL has none: Krum one by one, then the mean around the median."""
    for seed in range(5):
        vectors, unit = quantise(make_vectors(seed))
        left, chosen = list(range(11)), list[int]()
        while len(chosen) < 7:
            among = vectors[left]
            squares = ((among[:, None] - among[None]) ** 2).sum(axis=2)
            best = int(np.sort(squares, axis=1)[:, 1 : len(left) - 2].sum(axis=1).argmin())
            chosen.append(left.pop(best))
        order = np.abs(vectors[chosen] - np.median(vectors[chosen], axis=0)).argsort(axis=0, kind="stable")
        expected = np.take_along_axis(vectors[chosen], order[:3], axis=0).mean(axis=0)
        assert np.abs(rules.Bulyan(f=2)(vectors) - expected).max() <= unit * 0.51


def test_weights_are_honoured_by_those_that_do() -> None:
    vectors, unit = quantise(make_vectors(1))
    weights = list(range(1, 12))
    expected = np.average(vectors, axis=0, weights=weights)
    assert np.abs(rules.Mean()(vectors, weights) - expected).max() <= unit / 2
    assert np.abs(rules.NormClippedMean(norm=1e9)(vectors, weights) - expected).max() <= unit / 2
    assert (rules.Median()(vectors, weights) == rules.Median()(vectors)).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_give_arrays_of_their_dtype(dtype: type[np.floating[Any]]) -> None:
    vectors = make_vectors(3).astype(dtype)
    for given_ in (vectors, list(vectors), tuple(vectors)):
        made = rules.Median()(given_)
        assert isinstance(made, np.ndarray)
        assert made.dtype == dtype
        assert made.shape == (40,)


def test_integers_and_plain_lists_give_float64() -> None:
    for vectors in (np.array([[1, 2], [2, 4], [9, 9]]), [[1, 2], [2, 4], [9, 9]]):
        made = rules.Median()(vectors)
        assert made.dtype == np.float64
        assert made.tolist() == [2.0, 4.0]
    made = rules.Median()(torch.tensor([[1, 2], [2, 4]]))
    assert made.dtype == torch.float64
    assert made.tolist() == [1.5, 3.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_give_tensors_of_their_dtype_and_device(dtype: torch.dtype) -> None:
    vectors = torch.tensor(make_vectors(3)).to(dtype).requires_grad_()
    expected = rules.Krum(f=2)(vectors.detach().double().numpy())
    for given_ in (vectors, list(vectors)):
        made = rules.Krum(f=2)(given_)
        assert isinstance(made, torch.Tensor)
        assert (made.dtype, made.device, made.requires_grad) == (dtype, vectors.device, False)
        assert torch.equal(made, torch.tensor(expected).to(dtype))


def test_vectors_of_any_shape_keep_it() -> None:
    vectors = make_vectors(5, length=24).reshape(11, 2, 3, 4)
    assert rules.TrimmedMean(f=2)(vectors).shape == (2, 3, 4)
    assert (rules.TrimmedMean(f=2)(vectors).ravel() == rules.TrimmedMean(f=2)(vectors.reshape(11, -1))).all()


@given(st.floats(5e-324, 1.7e308), st.floats(-1, 1), st.integers(0, 40))
@settings(max_examples=200)
def test_fraction_bits_are_the_most_that_clip_nothing(largest: float, other: float, jitter: int) -> None:
    values = np.array([largest * (1 - jitter * 2**-16), -largest * other])
    bits = choose_fraction_bits(values)
    assert (np.rint(np.ldexp(values, bits)) == np.clip(np.rint(np.ldexp(values, bits)), -32768, 32767)).all()
    finer = np.rint(np.ldexp(values, bits + 1))
    assert finer.max() > 32767 or finer.min() < -32768


def test_all_zeros_are_zero() -> None:
    assert choose_fraction_bits(np.zeros((2, 2))) == 0
    assert rules.GeometricMedian()(np.zeros((4, 3))).tolist() == [0.0] * 3


def test_given_fraction_bits_clip_as_in_a_task() -> None:
    assert rules.Median()(np.array([[100.0]]), fraction_bits=10).tolist() == [32767 / 1024]
    assert rules.Median()(np.array([[-100.0]]), fraction_bits=10).tolist() == [-32.0]


def test_a_name_in_a_task_is_the_same_rule() -> None:
    vectors = make_vectors(4)
    bits = choose_fraction_bits(vectors)
    stages = [rules.Clipping(norm=2.0), rules.NearestNeighbourMixing(f=2)]
    rule = Pipeline(stages, rules.MeanAroundMedian(f=2))
    name = str(rule.build(bits))
    assert name == f"clipping(norm={2 << bits}) | nnm(f=2) | meamed(f=2)"
    assert (parse(name)(vectors, fraction_bits=bits) == rule(vectors)).all()
    assert (parse("krum(f=2)")(vectors) == rules.Krum(f=2)(vectors)).all()
    assert (
        parse("clipping(norm=0) | median()")(vectors) == Pipeline([rules.Clipping()], rules.Median())(vectors)
    ).all()
    assert (Pipeline([], rules.Median())(vectors) == rules.Median()(vectors)).all()


def test_a_norm_in_a_name_needs_its_unit() -> None:
    with pytest.raises(RuleError, match="say which by fraction_bits"):
        parse("norm_clipped_mean(norm=20)")(make_vectors(0))


@pytest.mark.parametrize(
    ("vectors", "error"),
    [
        ([], "at least one"),
        (np.zeros((0, 4)), "at least one"),
        (np.zeros(4), r"use \(n, values of each\)"),
        ([np.zeros(3), np.zeros(4)], "all of one shape"),
        (np.zeros((4, 0)), r"use \(n, values of each\)"),
        (np.zeros((2, 3)), r"krum\(f=1\) of 2 updates; use 3 to"),
    ],
)
def test_vectors_that_do_not_suit_are_refused(vectors: Any, error: str) -> None:
    with pytest.raises(RuleError, match=error):
        rules.Krum(f=1)(vectors)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(QuantisationError, match="not finite"):
        rules.Median()(np.array([[1.0], [value]]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: rules.TrimmedMean(f=-1),
        lambda: rules.Bulyan(f=5000),
        lambda: rules.GeometricMedian(steps=0),
        lambda: rules.Bucketing(s=0),
        lambda: rules.Clipping(norm=0.0),
        lambda: rules.NormClippedMean(norm=float("nan")),
        lambda: rules.CentredClipping(norm=-1.0),
        lambda: parse("trimmed_mean(f=01)"),
    ],
)
def test_parameters_are_checked_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(RuleError):
        make()


def test_without_tensors_torch_is_not_loaded() -> None:
    code = (
        "import sys, numpy as np; from offchain.learning.rules import Krum; Krum(f=1)(np.ones((3, 4)));"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
