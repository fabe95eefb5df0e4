"""A trainer without torch, for clients of an environment that has none: softmax regression on separable clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CLASSES, FEATURES, FRACTION_BITS = 4, 16, 12
LENGTH = CLASSES * FEATURES


class SoftmaxTrainer:
    """Satisfies `offchain.interfaces.Trainer`."""

    def __init__(self, client: int) -> None:
        centres = np.random.default_rng(0).normal(size=(CLASSES, FEATURES))
        random = np.random.default_rng(client + 1)
        self._labels = random.integers(0, CLASSES, 200)
        self._inputs = centres[self._labels] + 0.5 * random.normal(size=(200, FEATURES))

    def train(self, model: npt.NDArray[np.int32], seed: int) -> tuple[npt.NDArray[np.int16], int]:
        before = model.astype(np.float64).reshape(CLASSES, FEATURES) / (1 << FRACTION_BITS)
        weights = before.copy()
        for _ in range(20):
            scores = self._inputs @ weights.T
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            shares[np.arange(len(self._labels)), self._labels] -= 1
            weights -= 0.1 * shares.T @ self._inputs / len(self._labels)
        step = np.rint((weights - before).ravel() * (1 << FRACTION_BITS))
        return np.clip(step, -32768, 32767).astype(np.int16), len(self._labels)

    def evaluate(self, model: npt.NDArray[np.int32]) -> float:
        scores = self._inputs @ model.reshape(CLASSES, FEATURES).T
        return float((scores.argmax(axis=1) == self._labels).mean())


def make_trainer(client: int, clients: int, seed: int) -> SoftmaxTrainer:
    return SoftmaxTrainer(client)


def make_model(seed: int) -> npt.NDArray[np.int32]:
    return np.zeros(LENGTH, dtype=np.int32)
