"""The clients' work, the same in all modes: updates drawn from a seed, or one real epoch of training."""

from __future__ import annotations

import numpy as np

from benchmarks.setting import PAPER_LENGTH
from offchain.interfaces import Int16Vector, Int32Vector, Trainer

FRACTION_BITS = 14
MAX_WEIGHT = 1000

# As in the paper's experiments: 60,000 images over 100 clients, in batches of 10.
EXAMPLES, BATCH = 600, 10
_SIDE, _CLASSES = 28, 10
_TEST_EXAMPLES = 10


class DrawnTrainer(Trainer):
    """No training: client `client`'s n-th update is drawn from (client, n), whatever the model."""

    def __init__(self, client: int, length: int) -> None:
        random = np.random.default_rng(client)
        self._drawn = random.integers(-1000, 1001, length, dtype=np.int16)
        self._weight = int(random.integers(1, MAX_WEIGHT + 1))
        self._count = 0

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        self._count += 1
        return self._drawn + np.int16(self._count), self._weight  # another vector every time, at no cost

    def evaluate(self, model: Int32Vector) -> float:
        raise NotImplementedError


def compute_length(training: str, length: int) -> int:
    """Parameters of the module that is trained: the paper's CNN, or the perceptron that comes closest to `length`."""
    if training == "none" or length == PAPER_LENGTH:
        return length
    return _compute_hidden(length) * (_SIDE * _SIDE + 1 + _CLASSES) + _CLASSES


def _compute_hidden(length: int) -> int:
    return max(1, (length - _CLASSES) // (_SIDE * _SIDE + 1 + _CLASSES))


def make_model(length: int) -> Int32Vector:
    """G_0, of small values, without torch."""
    return np.random.default_rng(0).integers(-500, 501, length, dtype=np.int32)


def make_trainer(training: str, client: int, length: int) -> Trainer:
    if training == "none":
        return DrawnTrainer(client, length)
    # Only here: torch takes a while to import, and is not needed without training.
    from torch import nn

    from offchain.learning.data import ClientData, Examples
    from offchain.learning.trainer import Hyperparameters, TorchTrainer

    def build() -> nn.Module:
        if length != PAPER_LENGTH:
            hidden = _compute_hidden(length)
            return nn.Sequential(nn.Flatten(), nn.Linear(_SIDE * _SIDE, hidden), nn.ReLU(), nn.Linear(hidden, _CLASSES))
        return nn.Sequential(  # McMahan et al. 2017
            nn.Conv2d(1, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (_SIDE // 4) ** 2, 512),
            nn.ReLU(),
            nn.Linear(512, _CLASSES),
        )

    def draw(count: int) -> Examples:
        labels = random.integers(0, _CLASSES, count)
        images = random.normal(size=(count, 1, _SIDE, _SIDE)) * 0.3 + labels[:, None, None, None] / _CLASSES
        return Examples(images.astype(np.float32), labels)

    random = np.random.default_rng(client)
    data = ClientData(draw(EXAMPLES), draw(_TEST_EXAMPLES))
    epoch = Hyperparameters(steps=EXAMPLES // BATCH, batch_size=BATCH, learning_rate=0.01)
    return TorchTrainer(build, data, FRACTION_BITS, epoch)
