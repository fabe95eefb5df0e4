"""Attacks: their formulas, ByzFL's results where it has them, kinds of arrays, and texts that name them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from offchain.learning.attacks import (
    ATTACKS,
    Alie,
    Attack,
    AttackError,
    Gaussian,
    InnerProductManipulation,
    LabelFlip,
    Mimic,
    Scaling,
    Searched,
    SearchedAlie,
    SearchedInnerProductManipulation,
    SignFlip,
    Target,
    parse_attack,
)

MATRICES = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.floats(-100, 100))
FACTORS = st.floats(-50, 50)
PLAIN: tuple[Attack, ...] = (
    SignFlip(5),
    Scaling(3),
    Gaussian(deviation=2),
    LabelFlip(),
    Alie(),
    InnerProductManipulation(0.5),
    Mimic(),
)


def median(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    middle: npt.NDArray[np.float64] = np.median(vectors, axis=0)
    return middle


@given(MATRICES, FACTORS)
def test_formulas(honest: npt.NDArray[np.float64], factor: float) -> None:
    mean = honest.sum(axis=0) / len(honest)
    variance = ((honest - mean) ** 2).sum(axis=0) / max(len(honest) - 1, 1)
    assert np.allclose(SignFlip(factor)(honest), -factor * mean)
    assert np.allclose(InnerProductManipulation(factor)(honest), -factor * mean)
    assert np.allclose(Scaling(factor)(honest), factor * mean)
    assert np.allclose(Alie(factor)(honest), mean + factor * np.sqrt(variance))
    assert np.allclose(LabelFlip()(honest), mean)
    assert np.array_equal(Mimic(len(honest) - 1)(honest), honest[-1])


def test_alone_the_spread_is_nothing() -> None:
    assert Alie(7)(np.array([[1.0, 2.0]])).tolist() == [1.0, 2.0]


def test_gaussian_noise_is_what_it_says_and_a_function_of_its_input() -> None:
    honest = np.zeros((2, 20_000))
    noise = Gaussian(mean=1, deviation=3)(honest)
    assert noise.mean() == pytest.approx(1, abs=0.1)
    assert noise.std() == pytest.approx(3, abs=0.1)
    assert np.array_equal(noise, Gaussian(mean=1, deviation=3)(honest))
    assert not np.array_equal(noise, Gaussian(mean=1, deviation=3, seed=1)(honest))
    assert not np.array_equal(noise, Gaussian(mean=1, deviation=3)(honest + 1))


def make_peers() -> list[tuple[Attack, Callable[[Any], Any]]]:
    from byzfl import attacks as byzfl

    return [
        (SignFlip(), byzfl.SignFlipping()),
        (InnerProductManipulation(), byzfl.InnerProductManipulation()),
        (InnerProductManipulation(0.3), byzfl.InnerProductManipulation(0.3)),
        (Alie(), byzfl.ALittleIsEnough()),
        (Alie(-2), byzfl.ALittleIsEnough(-2.0)),
        (Mimic(), byzfl.Mimic()),
        (Mimic(2), byzfl.Mimic(2)),
        (LabelFlip(), byzfl.LabelFlipping()),
    ]


@given(st.data())
def test_agrees_with_byzfl(data: st.DataObject) -> None:
    pytest.importorskip("byzfl")
    honest = data.draw(arrays(np.float64, (5, 4), elements=st.floats(-100, 100)))
    for own, peer in make_peers():
        assert np.allclose(own(honest), peer(honest)), str(own)


@pytest.mark.parametrize("byzantine", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_searches_find_what_byzfls_find(byzantine: int, seed: int) -> None:
    pytest.importorskip("byzfl")
    from byzfl import aggregators
    from byzfl import attacks as byzfl

    honest = np.random.default_rng(seed).normal(0.3, 1, (7, 11))
    peer_rule = aggregators.TrMean(byzantine)

    def trimmed_mean(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        mean: npt.NDArray[np.float64] = np.sort(vectors, axis=0)[byzantine : len(vectors) - byzantine].mean(axis=0)
        return mean

    target = Target(trimmed_mean, byzantine)
    pairs: list[tuple[Searched, Any]] = [
        (SearchedAlie(), byzfl.Optimal_ALittleIsEnough),
        (SearchedInnerProductManipulation(), byzfl.Optimal_InnerProductManipulation),
    ]
    for own, peer in pairs:
        expected = peer(agg=peer_rule, pre_agg_list=[], f=byzantine)(honest)
        assert np.allclose(own.aim(target)(honest), expected)


def test_a_search_moves_the_rule_at_least_as_far_as_it_did_with_any_factor_tried() -> None:
    honest = np.random.default_rng(1).normal(0.2, 1, (8, 30))
    tried: list[float] = []

    def note(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        middle = median(vectors)
        tried.append(float(np.linalg.norm(middle - honest.mean(axis=0))))
        return middle

    for attack in (SearchedAlie(9), SearchedInnerProductManipulation(9)):
        tried.clear()
        sent = attack.aim(Target(note, 3))(honest)
        assert len(tried) == 9
        moved = median(np.concatenate([honest, [sent] * 3])) - honest.mean(axis=0)
        assert np.linalg.norm(moved) == max(tried)


def test_a_search_takes_its_own_vectors_for_those_it_does_not_know() -> None:
    honest = np.array([[1.0, 2.0], [3.0, 5.0]])
    seen: list[npt.NDArray[np.float64]] = []

    def note(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        seen.append(vectors)
        return median(vectors)

    SearchedAlie(2).aim(Target(note, byzantine=1, honest=5))(honest)
    assert all(np.array_equal(vectors[:5], honest[[0, 1, 0, 1, 0]]) and len(vectors) == 6 for vectors in seen)


def test_a_search_without_a_target_says_so() -> None:
    with pytest.raises(AttackError, match="aim it at a rule"):
        SearchedAlie()(np.ones((2, 3)))


@pytest.mark.parametrize("attack", PLAIN, ids=str)
def test_the_answer_is_of_the_kind_of_the_input(attack: Attack) -> None:
    torch = pytest.importorskip("torch")
    honest = np.random.default_rng(0).normal(size=(4, 6))
    expected = attack(honest)
    assert (expected.dtype, expected.shape) == (np.float64, (6,))
    for given_numpy in (honest.astype(np.float32), list(honest.astype(np.float32))):
        sent = attack(given_numpy)
        assert (type(sent), sent.dtype) == (np.ndarray, np.float32)
    assert attack(np.arange(6).reshape(3, 2)).dtype == np.float64
    rows = honest.tolist()
    assert np.array_equal(attack(rows), expected)
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        tensor = torch.tensor(honest, dtype=dtype, requires_grad=True)
        for given_torch in (tensor, list(tensor), tuple(tensor)):
            sent = attack(given_torch)
            assert (type(sent), sent.dtype, sent.shape) == (torch.Tensor, dtype, (6,))
    assert np.array_equal(attack(torch.tensor(honest)).numpy(), expected)
    assert attack(torch.arange(6).reshape(3, 2)).dtype == torch.float64


def test_does_not_change_or_alias_its_input() -> None:
    honest = np.ones((3, 2))
    honest.flags.writeable = False
    for attack in PLAIN:
        assert not np.shares_memory(attack(honest), honest)


@pytest.mark.parametrize(
    "wrong", [[], np.ones(3), np.ones((0, 3)), np.ones((1, 2, 3)), [np.ones(2), np.ones(3)], [np.ones((2, 2))]]
)
def test_refuses_what_are_no_vectors(wrong: Any) -> None:
    with pytest.raises(AttackError, match="vectors of shape"):
        SignFlip()(wrong)


def test_refuses_to_mimic_nobody() -> None:
    with pytest.raises(AttackError, match="numbered from 0"):
        Mimic(3)(np.ones((3, 2)))


def test_needs_no_torch() -> None:
    program = (
        "import sys, numpy; from offchain.learning import attacks, byzantine; "
        "attacks.SignFlip()(numpy.ones((2, 3))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", ATTACKS)
def test_a_name_alone_takes_the_defaults(name: str) -> None:
    attack = ATTACKS[name]()
    assert parse_attack(f"{name}()") == attack
    assert str(attack) == f"{name}()"


@pytest.mark.parametrize(
    ("text", "attack"),
    [
        ("sign_flip(factor=5)", SignFlip(5.0)),
        ("scaling(factor=-2.5e-3)", Scaling(-0.0025)),
        ("gaussian(mean=1,deviation=0.5, seed=3)", Gaussian(1.0, 0.5, 3)),
        ("alie_searched(evaluations=5)", SearchedAlie(5)),
        ("mimic(member=2)", Mimic(2)),
    ],
)
def test_a_text_with_parameters(text: str, attack: Attack) -> None:
    assert parse_attack(text) == attack
    assert parse_attack(str(attack)) == attack


@given(st.floats(-1e9, 1e9))
def test_any_factor_can_be_written_and_read(factor: float) -> None:
    assert parse_attack(str(SignFlip(factor))) == SignFlip(factor)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sign_flip", "no attack 'sign_flip'; use sign_flip"),
        ("backdoor()", "no attack 'backdoor"),
        ("sign_flip(factor=)", "no attack"),
        ("sign_flip(factor=nan)", "no attack"),
        ("sign_flip(factor=5", "no attack"),
        ("sign_flip(factor=5) ", "no attack"),
        ("sign_flip(lambda=5)", "other parameters"),
        ("sign_flip(target=5)", "other parameters"),
        ("sign_flip(factor=5, factor=5)", "other parameters"),
        ("sign_flip(factor=1e300)", "at most 1e"),
        ("mimic(member=0.5)", "whole number"),
        ("mimic(member=-1)", "from 0"),
        ("gaussian(deviation=-1)", "0 or more"),
        ("alie_searched(evaluations=0)", "1 to 1000"),
    ],
)
def test_a_wrong_text_is_one_line(text: str, message: str) -> None:
    with pytest.raises(AttackError, match=message) as caught:
        parse_attack(text)
    assert "\n" not in str(caught.value)
