"""Local training: deterministic, real updates of a real module. Skipped where torch is not installed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402  (after the skip)

from offchain.learning.data import ClientData, DataError, Examples  # noqa: E402  (after the skip)
from offchain.learning.modules import ModuleError  # noqa: E402  (after the skip)
from offchain.learning.quantisation import QuantisationError, dequantise, quantise_update  # noqa: E402  (after the skip)
from offchain.learning.trainer import Hyperparameters, TorchTrainer, compute_initial_model  # noqa: E402  (after the skip)

BITS = 12


def make_examples(count: int, seed: int) -> Examples:
    """Points in the plane, labelled by their quadrant."""
    points = np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)
    return Examples(points, (points[:, 0] > 0) * np.int64(2) + (points[:, 1] > 0))


def make_module() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))


def make_trainer(**hyperparameters: Any) -> TorchTrainer:
    data = ClientData(make_examples(100, 0), make_examples(400, 1))
    return TorchTrainer(make_module, data, BITS, Hyperparameters(**hyperparameters))


MODEL = compute_initial_model(make_module, BITS, seed=3)


def test_training_teaches() -> None:
    trainer = make_trainer()
    update, weight = trainer.train(MODEL, seed=1)
    assert (update.dtype, update.shape, weight) == (np.int16, MODEL.shape, 100)
    assert trainer.evaluate(MODEL + update) > max(0.8, trainer.evaluate(MODEL) + 0.2)


def test_an_update_is_the_real_one_quantised() -> None:
    trainer = make_trainer()
    real, weight = trainer.train_real(dequantise(MODEL, BITS), seed=1)
    assert (real.dtype, weight) == (np.float64, 100)
    assert np.array_equal(quantise_update(real, BITS), trainer.train(MODEL, seed=1)[0])


@pytest.mark.parametrize("stochastic", [False, True])
def test_the_same_seed_makes_the_same_bytes(stochastic: bool) -> None:
    """Also with dropout, after other calls, in another trainer and whatever torch's own random state."""
    trainer = make_trainer(stochastic_rounding=stochastic)
    first = trainer.train(MODEL, seed=5)[0].tobytes()
    torch.manual_seed(99)
    assert trainer.train(MODEL + 1, seed=6)[0].tobytes() != first
    assert trainer.evaluate(MODEL) >= 0
    assert trainer.train(MODEL, seed=5)[0].tobytes() == first
    assert make_trainer(stochastic_rounding=stochastic).train(MODEL, seed=5)[0].tobytes() == first


def test_trainers_in_threads_do_not_disturb_each_other() -> None:
    alone = [make_trainer().train(MODEL, seed)[0].tobytes() for seed in range(4)]
    trainer = make_trainer()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: trainer.train(MODEL, seed)[0].tobytes(), range(4)))
    assert together == alone


def test_leaves_torchs_random_state_as_it_was() -> None:
    trainer = make_trainer()
    before = torch.get_rng_state()
    trainer.train(MODEL, seed=1)
    compute_initial_model(make_module, BITS, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_does_not_change_the_model_it_trains_from() -> None:
    model = MODEL.copy()
    model.flags.writeable = False
    make_trainer().train(model, seed=1)
    assert np.array_equal(model, MODEL)


def test_momentum_steps_are_those_of_torchs_sgd() -> None:
    """One full batch a step, no corrections: the trajectory of torch.optim.SGD, up to the rounding of the update."""
    data = ClientData(make_examples(32, 0), make_examples(32, 1))
    plain = Hyperparameters(
        steps=5,
        batch_size=32,
        learning_rate=0.2,
        max_gradient_norm=float("inf"),
        label_smoothing=0.0,
        prior_correction=0.0,
    )

    def make_plain_module() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4))

    model = compute_initial_model(make_plain_module, BITS, seed=0)
    update, _ = TorchTrainer(make_plain_module, data, BITS, plain).train(model, seed=0)
    module = make_plain_module()
    base = torch.from_numpy(dequantise(model, BITS)).float()
    nn.utils.vector_to_parameters(base.clone(), module.parameters())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.2, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(
            module(torch.from_numpy(data.train.inputs)), torch.from_numpy(data.train.labels)
        ).backward()
        optimizer.step()
    expected = nn.utils.parameters_to_vector(module.parameters()).detach() - base
    assert np.abs(dequantise(update, BITS) - expected.numpy()).max() < 0.6 / 2**BITS


def test_a_step_is_no_longer_than_the_gradients_limit() -> None:
    long, short = (make_trainer(steps=1, max_gradient_norm=limit).train(MODEL, seed=0)[0] for limit in (1e9, 0.05))
    length = 0.1 * 0.05 * 2**BITS
    assert np.linalg.norm(long) > 2 * length
    assert np.linalg.norm(short) == pytest.approx(length, rel=0.1)


def test_error_feedback_carries_over_to_the_next_round() -> None:
    data = ClientData(make_examples(100, 0), make_examples(10, 1))
    coarse = 4
    model = compute_initial_model(make_module, coarse, seed=0)
    trainer = TorchTrainer(make_module, data, coarse, error_feedback=True)
    first, second = (trainer.train(model, seed=1)[0] for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.abs(first.astype(int) - second).max() <= 1


def test_evaluate_is_the_share_of_right_answers() -> None:
    trainer = make_trainer()
    always_three = np.zeros_like(MODEL)
    always_three[-1] = 1 << BITS
    assert trainer.evaluate(always_three) == (make_examples(400, 1).labels == 3).mean()


def test_the_initial_model_is_a_function_of_the_seed() -> None:
    assert MODEL.dtype == np.int32
    assert np.array_equal(compute_initial_model(make_module, BITS, seed=3), MODEL)
    assert not np.array_equal(compute_initial_model(make_module, BITS, seed=4), MODEL)


def test_refuses_data_that_does_not_fit() -> None:
    some, none = make_examples(5, 0), make_examples(0, 0)
    with pytest.raises(DataError, match="needs examples"):
        TorchTrainer(make_module, ClientData(none, some), BITS)
    with pytest.raises(DataError, match="needs examples"):
        TorchTrainer(make_module, ClientData(some, none), BITS)
    for label in (-1, 4):
        with pytest.raises(DataError, match="labels must be 0 to 3"):
            TorchTrainer(make_module, ClientData(Examples(some.inputs, some.labels * 0 + label), some), BITS)


def test_refuses_a_model_of_another_network() -> None:
    with pytest.raises(ModuleError, match="not the same network"):
        make_trainer().train(MODEL[1:], seed=0)
    with pytest.raises(ModuleError, match="not the same network"):
        make_trainer().evaluate(MODEL[1:])


def test_divergence_is_said_and_does_not_spoil_the_trainer() -> None:
    trainer = make_trainer(learning_rate=1e30)
    with pytest.raises(QuantisationError, match="lower the learning rate"):
        trainer.train(MODEL, seed=0)
    assert 0 <= trainer.evaluate(MODEL) <= 1


@pytest.mark.parametrize("value", [2**31 - 1, -(2**31), 0])
def test_trains_from_any_model(value: int) -> None:
    """A poisoned model is trained from until it is convicted; that must not stop an honest client."""
    update, _ = make_trainer().train(np.full_like(MODEL, value), seed=0)
    assert update.shape == MODEL.shape


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch_size": 0}])
def test_refuses_no_training(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        Hyperparameters(**wrong)
