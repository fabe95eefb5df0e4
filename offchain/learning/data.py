"""Labelled examples, a held-out test set and a non-IID partition over clients; numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]


class DataError(ValueError):
    """Data that is missing, or that cannot be divided as asked."""


@dataclass(frozen=True)
class Examples:
    """`inputs` [n, ...] as the module takes them, with `labels` int64[n] from 0."""

    inputs: npt.NDArray[Any]
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: Indices) -> Examples:
        """The examples at `indices`, in that order."""
        return Examples(self.inputs[indices], self.labels[indices])

    def flip_labels(self, classes: int) -> Examples:
        """The same inputs with labels l → classes−1−l: what the attack `label_flip()` trains on."""
        return Examples(self.inputs, classes - 1 - self.labels)


@dataclass(frozen=True)
class ClientData:
    """What one client trains on, and what it evaluates on and never trains on."""

    train: Examples
    test: Examples


def split_test(labels: Labels, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Return (training, test) indices, ascending; each class gives `fraction` of its examples to the test set."""
    random = np.random.default_rng(seed)
    test = np.concatenate(
        [
            random.permutation(members)[: round(fraction * len(members))]
            for members in (np.flatnonzero(labels == label) for label in np.unique(labels))
        ]
    )
    return np.setdiff1d(np.arange(len(labels)), test), np.sort(test)


def partition_dirichlet(labels: Labels, clients: int, alpha: float, seed: int, minimum: int) -> list[Indices]:
    """Divide all examples among `clients`: each class by proportions drawn from Dirichlet(alpha) (Hsu et al. 2019).

    Whoever then has fewer than `minimum` gets random examples of whoever has most, one at a time. That takes a little
    from the skew, and always ends; drawing again until everyone has enough need not.
    Raises DataError if there are too few examples.
    """
    if clients < 1 or clients * minimum > len(labels):
        raise DataError(
            f"{len(labels)} examples do not give each of {clients} clients {minimum}; "
            "use fewer clients or a lower minimum"
        )
    random = np.random.default_rng(seed)
    owner = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        shares = random.dirichlet(np.full(clients, alpha))
        bounds = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
        for client, part in enumerate(np.split(members, bounds)):
            owner[part] = client
    sizes = np.bincount(owner, minlength=clients)
    while sizes.min() < minimum:
        poorest, richest = sizes.argmin(), sizes.argmax()
        owner[random.choice(np.flatnonzero(owner == richest))] = poorest
        sizes[poorest] += 1
        sizes[richest] -= 1
    return [np.flatnonzero(owner == client) for client in range(clients)]
