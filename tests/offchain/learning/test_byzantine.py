"""Byzantine trainers: what colluders send, by whom it is agreed, and what it does to a federation."""

from __future__ import annotations

import numpy as np
import pytest

from offchain.interfaces import Int16Vector, Int32Vector
from offchain.learning.attacks import Alie, Attack, Mimic, Scaling, SearchedAlie, SignFlip
from offchain.learning.byzantine import ColludingTrainer, make_target
from offchain.learning.quantisation import dequantise, quantise_update
from optfl.aggregation import aggregate
from optfl.rules import RoundFacts, parse_rule
from support.trainer import FRACTION_BITS, LENGTH, SoftmaxTrainer

MODEL = np.zeros(LENGTH, dtype=np.int32)


class NotingTrainer(SoftmaxTrainer):
    """Also says what it was asked, and has a number of examples of its own."""

    def __init__(self, client: int) -> None:
        super().__init__(client)
        self.client = client
        self.seeds: list[int] = []

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        self.seeds.append(seed)
        update, _ = super().train(model, seed)
        return update + np.int16(seed % 7), 100 + self.client


def make_colluders(count: int, attack: Attack) -> list[ColludingTrainer]:
    """Each with trainers of its own, as in processes of their own."""
    return [
        ColludingTrainer([NotingTrainer(i) for i in range(count)], own, attack, FRACTION_BITS) for own in range(count)
    ]


def test_sends_the_attack_of_what_all_colluders_learn() -> None:
    members = [NotingTrainer(i) for i in range(3)]
    sent, weight = ColludingTrainer(members, 1, SignFlip(5), FRACTION_BITS).train(MODEL, seed=9)
    honest = [NotingTrainer(i).train(MODEL, member.seeds[0])[0] for i, member in enumerate(members)]
    expected = SignFlip(5)([dequantise(update, FRACTION_BITS) for update in honest])
    assert sent.dtype == np.int16
    assert np.array_equal(sent, quantise_update(expected, FRACTION_BITS))
    assert weight == 101


@pytest.mark.parametrize("attack", [Alie(), Mimic(1), SignFlip()], ids=str)
def test_colluders_send_the_same_without_a_word_between_them(attack: Attack) -> None:
    """Whatever seeds their own roles draw, and again in the next round."""
    for model in (MODEL, MODEL + 5):
        sent = [trainer.train(model, seed=own)[0] for own, trainer in enumerate(make_colluders(3, attack))]
        assert all(np.array_equal(sent[0], other) for other in sent)


def test_members_train_with_seeds_of_their_own_that_change_with_the_model() -> None:
    members = [NotingTrainer(i) for i in range(3)]
    trainer = ColludingTrainer(members, 0, SignFlip(), FRACTION_BITS)
    for model in (MODEL, MODEL + 1):
        trainer.train(model, seed=0)
    assert len({seed for member in members for seed in member.seeds}) == 6


def test_an_update_is_clipped_to_what_an_int16_holds() -> None:
    (trainer,) = make_colluders(1, Scaling(1e9))
    sent, _ = trainer.train(MODEL, seed=0)
    assert {int(value) for value in sent if value} == {-32768, 32767}


def test_evaluates_like_the_honest_client_that_it_is_taken_for() -> None:
    update, _ = SoftmaxTrainer(1).train(MODEL, 0)
    model = update.astype(np.int32)
    assert make_colluders(2, SignFlip())[1].evaluate(model) == SoftmaxTrainer(1).evaluate(model)


@pytest.mark.parametrize("rule", ["median()", "nnm(f=1) | trimmed_mean(f=1)", "fedavg()"])
def test_a_target_is_the_exact_rule(rule: str) -> None:
    vectors = np.random.default_rng(0).normal(0, 0.1, (5, 40))
    updates = [quantise_update(vector, FRACTION_BITS) for vector in vectors]
    exact = aggregate(parse_rule(rule), np.zeros(40, dtype=np.int32), updates, RoundFacts((1,) * 5), 64).model
    found = make_target(parse_rule(rule), FRACTION_BITS, 1).aggregate(vectors)
    assert np.array_equal(found, dequantise(exact, FRACTION_BITS))


def train_federation(rule: str, attack: Attack, byzantine: int, clients: int = 9) -> float:
    """Accuracy of an honest client after some rounds."""
    parsed = parse_rule(rule)
    if isinstance(attack, SearchedAlie):
        attack = attack.aim(make_target(parsed, FRACTION_BITS, byzantine, clients - byzantine))
    honest = [SoftmaxTrainer(i) for i in range(clients)]
    colluders = [ColludingTrainer(honest[:byzantine], i, attack, FRACTION_BITS) for i in range(byzantine)]
    model = MODEL
    for _ in range(6):
        updates, weights = zip(*(t.train(model, 0) for t in (*colluders, *honest[byzantine:])), strict=True)
        model = aggregate(parsed, model, updates, RoundFacts(weights), LENGTH).model
    return honest[-1].evaluate(model)


def test_a_flipped_sign_destroys_the_mean_and_not_the_median() -> None:
    """Seed 002, section VI-C, in small: a third of the clients sends −5 times what it learned."""
    assert train_federation("fedavg()", SignFlip(5), byzantine=3) < 0.25
    assert train_federation("median()", SignFlip(5), byzantine=3) > 0.9
    assert train_federation("median()", SignFlip(5), byzantine=5) < 0.25  # a majority


def test_a_searched_attack_does_at_least_the_damage_of_a_fixed_one() -> None:
    fixed, searched = (train_federation("fedavg()", attack, byzantine=2) for attack in (Alie(), SearchedAlie()))
    assert searched <= fixed
