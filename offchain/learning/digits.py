"""The digits task: scikit-learn's 1,797 images of 8×8 in ten classes, a small CNN for them, and how clients train it.

No digits are bundled: the data set is read from the installed scikit-learn.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from torch import nn

from offchain.interfaces import Int32Vector
from offchain.learning import trainer
from offchain.learning.data import ClientData, DataError, Examples, partition_dirichlet, split_test
from offchain.learning.trainer import Hyperparameters, TorchTrainer

CLASSES = 10
LENGTH = 9930  # parameters of build_cnn()
FRACTION_BITS = 14  # updates reach ±2 in steps of 6e-5; the largest value seen in training is 0.5
UPDATE_SHIFT = 6  # with updates of 8 bits: ±0.5 in steps of 1/256, see docs/experiments.md
ALPHA = 0.3  # of the Dirichlet distribution; smaller is more skewed
MINIMUM_EXAMPLES = 32  # of a client: two batches
TEST_FRACTION = 0.2
TEST_SEED = 0  # one test set for everyone, whatever the partition


def build_cnn() -> nn.Module:
    """A CNN for inputs [n, 1, 8, 8] that makes ten logits."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


@lru_cache(maxsize=1)
def load_digits() -> Examples:
    """All digits in scikit-learn's order, float32[1797, 1, 8, 8] in 0..1; raises DataError without scikit-learn."""
    spec = find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("scikit-learn is not installed; install optimistic-fl[learning]")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if path.exists():  # importing sklearn.datasets would cost a second for one small table
        table = np.loadtxt(path, delimiter=",", dtype=np.float32)
    else:
        from sklearn import datasets

        table = np.column_stack(datasets.load_digits(return_X_y=True)).astype(np.float32)
    return Examples(table[:, :64].reshape(-1, 1, 8, 8) / 16, table[:, 64].astype(np.int64))


def load_client_data(client: int, clients: int, seed: int, alpha: float = ALPHA) -> ClientData:
    """Return the share of `client` (0..clients-1) in the partition drawn from `seed`, with the common test set."""
    if not 0 <= client < clients:
        raise DataError(f"client {client} of {clients}: clients are numbered from 0 to {clients - 1}")
    digits = load_digits()
    train, test = split_test(digits.labels, TEST_FRACTION, TEST_SEED)
    parts = partition_dirichlet(digits.labels[train], clients, alpha, seed, MINIMUM_EXAMPLES)
    return ClientData(digits.select(train[parts[client]]), digits.select(test))


def make_trainer(
    client: int, clients: int, seed: int, fraction_bits: int = FRACTION_BITS, *, flip_labels: bool = False
) -> TorchTrainer:
    """The trainer of one client of the digits task, with `flip_labels` on wrong labels; raises DataError."""
    data = load_client_data(client, clients, seed)
    if flip_labels:
        data = ClientData(data.train.flip_labels(CLASSES), data.test)
    return TorchTrainer(build_cnn, data, fraction_bits, Hyperparameters())


def compute_initial_model(seed: int, fraction_bits: int = FRACTION_BITS) -> Int32Vector:
    """G_0 of the digits task, int32[LENGTH], a function of `seed`."""
    return trainer.compute_initial_model(build_cnn, fraction_bits, seed)
