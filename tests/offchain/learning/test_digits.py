"""The digits task, up to a federation that learns. Skipped where torch or scikit-learn is not installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from offchain.learning import digits
from offchain.learning.data import DataError
from optfl.aggregation import aggregate
from optfl.rules import RoundFacts, parse_rule


def test_the_file_read_is_scikit_learns_data_set() -> None:
    from sklearn import datasets

    inputs, labels = datasets.load_digits(return_X_y=True)
    examples = digits.load_digits()
    assert (examples.inputs.dtype, examples.labels.dtype) == (np.float32, np.int64)
    assert np.array_equal(examples.inputs.reshape(len(inputs), 64) * 16, inputs)
    assert np.array_equal(examples.labels, labels)


def test_clients_share_the_test_set_and_nothing_else() -> None:
    shares = [digits.load_client_data(client, 8, seed=1) for client in range(8)]
    images = [image.tobytes() for share in shares for image in share.train.inputs]
    test = shares[0].test
    assert all(np.array_equal(share.test.inputs, test.inputs) for share in shares)
    assert len(images) + len(test) == len(digits.load_digits())
    assert not {image.tobytes() for image in test.inputs} & set(images)
    assert min(len(share.train) for share in shares) >= digits.MINIMUM_EXAMPLES
    assert np.array_equal(digits.load_client_data(0, 4, seed=2).test.labels, test.labels)


@pytest.mark.parametrize("client", [-1, 8])
def test_refuses_a_client_that_is_not_one_of_them(client: int) -> None:
    with pytest.raises(DataError, match="numbered from 0 to 7"):
        digits.load_client_data(client, 8, seed=1)


def test_the_initial_model_fits_the_network() -> None:
    model = digits.compute_initial_model(seed=1)
    assert (model.dtype, model.shape) == (np.int32, (digits.LENGTH,))
    assert 0 <= digits.make_trainer(0, 8, seed=1).evaluate(model) < 0.4


def test_the_first_update_waits_for_nothing_slow() -> None:
    """torch.optim's compiler and scikit-learn's scipy would each double a client's start."""
    program = (
        "import sys; from offchain.learning import digits; "
        "digits.make_trainer(0, 8, 1).train(digits.compute_initial_model(0), 0); "
        "sys.exit(', '.join({'torch._dynamo', 'sklearn', 'scipy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("rule", ["trimmed_mean(f=1)", "median()", "fedavg()"])
def test_a_federation_learns_in_a_few_rounds(rule: str) -> None:
    """Eight non-IID clients and exact aggregation; alone, the best client gets nowhere near."""
    trainers = [digits.make_trainer(client, 8, seed=7) for client in range(8)]
    model = digits.compute_initial_model(seed=7)
    alone = max(trainer.evaluate(model + trainer.train(model, seed=0)[0]) for trainer in trainers)
    for round_number in range(4):
        updates, weights = zip(
            *(trainer.train(model, seed=100 * round_number + client) for client, trainer in enumerate(trainers)),
            strict=True,
        )
        model = aggregate(parse_rule(rule), model, updates, RoundFacts(tuple(weights)), chunk_values=2048).model
    assert trainers[0].evaluate(model) > max(0.9, alone)


def test_a_client_with_flipped_labels_unlearns() -> None:
    model = digits.compute_initial_model(seed=7)
    honest, flipped = (digits.make_trainer(0, 1, seed=7, flip_labels=flip) for flip in (False, True))
    learned = model + honest.train(model, seed=0)[0]
    assert honest.evaluate(learned) == flipped.evaluate(learned) > 0.7  # the test set is right for both
    assert honest.evaluate(model + flipped.train(model, seed=0)[0]) < 0.1
    assert honest.examples == flipped.examples
