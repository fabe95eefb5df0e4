"""Byzantine clients: a Trainer that sends what an attack makes of the honest work of all who collude.

Nobody can read another client's update before its round is frozen, when it is too late to use it. What an attack needs
to know of honest updates, colluders know from each other: each of them has the data of all of them, and trains on it.
They do not confer in a round, and still send the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from offchain.interfaces import Int16Vector, Int32Vector, Trainer
from offchain.learning.attacks import Attack, Matrix, Target, Vector
from offchain.learning.quantisation import dequantise, quantise_update
from optfl.rules import RoundFacts, Rule


class ColludingTrainer(Trainer):
    """One of the clients that `members` train honestly, the one at `own`; it sends `attack` of what all of them learn.

    All colluders name the same members in the same order: some attacks tell them apart. The weight is this client's
    number of examples, as if it were honest; that could be a lie too, up to the task's `max_weight`.
    """

    def __init__(self, members: Sequence[Trainer], own: int, attack: Attack, fraction_bits: int) -> None:
        self._members = members
        self._own = own
        self._attack = attack
        self._fraction_bits = fraction_bits

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        """Return the attack's vector, quantised and clipped like any update, and the number of this client's examples.

        `seed` is not used: members' seeds come from the model, so that all colluders compute the same.
        """
        trained = [member.train(model, _derive_seed(model, number)) for number, member in enumerate(self._members)]
        honest = np.stack([dequantise(update, self._fraction_bits) for update, _ in trained])
        return quantise_update(self._attack.compute(honest), self._fraction_bits), trained[self._own][1]

    def evaluate(self, model: Int32Vector) -> float:
        return self._members[self._own].evaluate(model)


def _derive_seed(model: Int32Vector, number: int) -> int:
    digest = hashlib.sha256(f"{number} ".encode() + model.tobytes()).digest()
    return int.from_bytes(digest[:8], "big")


def make_target(rule: Rule, fraction_bits: int, byzantine: int, honest: int | None = None) -> Target:
    """A searched attack's aim: the exact `rule`, of updates that are quantised and weigh the same.

    The other clients' weights, and the beacon, are not known to an attacker that searches.
    """
    from offchain.kernels.aggregate import aggregate  # here: compiling takes a while, and few attacks search

    def apply(vectors: Matrix) -> Vector:
        updates = [quantise_update(vector, fraction_bits) for vector in vectors]
        base = np.zeros(vectors.shape[1], dtype=np.int32)
        made = aggregate(rule, base, updates, RoundFacts((1,) * len(updates)), threads=1)
        return dequantise(made.model, fraction_bits)

    return Target(apply, byzantine, honest)
