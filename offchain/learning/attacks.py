"""What Byzantine clients send: functions of what they would have sent honestly, in the shape of ByzFL's attacks.

    sent = parse_attack("alie(factor=1.5)")(honest_vectors)

`honest_vectors`: arrays [n, D], numpy or torch, or a list of n vectors [D]; the answer is a vector [D] of the same
kind, computed in float64. μ and σ are their mean and their standard deviation by coordinates (n − 1 in its denominator;
0 for one vector). An attack is a function of its input alone: whoever colludes, and so has the same input, sends the
same. Which input that is, is the caller's business: see `offchain.learning.byzantine`.

Numpy only: tensors are read and made by their own methods.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from offchain.learning.arrays import read_vectors, write_vector

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

MAX_PARAMETER = 1e9  # far beyond what any update holds; its product with one is finite
MAX_EVALUATIONS = 1000


class AttackError(ValueError):
    """No such attack, a parameter out of bounds, or vectors that it is not defined for."""


class Attack:
    """What all attacks share. `str(attack)` is what `parse_attack` reads; parameters at their defaults are left out."""

    name: ClassVar[str]
    flips_labels: ClassVar[bool] = False
    """Whether the honest vectors have to be trained on wrong labels first."""

    @property
    def minimum_vectors(self) -> int:
        """The least n that it is defined for."""
        return 1

    def __call__(self, honest_vectors: Any) -> Any:
        """The vector to send; AttackError unless there is at least one vector, and all are of one length."""
        matrix = read_vectors(honest_vectors, AttackError)
        if matrix.ndim != 2:
            raise AttackError(f"honest vectors of shape {matrix.shape}; use (n, D)")
        return write_vector(self.compute(matrix), honest_vectors)

    def compute(self, honest: Matrix) -> Vector:
        """The vector to send, float64[D], of float64[n, D]."""
        raise NotImplementedError

    def __str__(self) -> str:
        values = [(f.name, getattr(self, f.name), f.default) for f in _get_parameters(type(self))]
        return f"{self.name}({', '.join(f'{name}={_format(value)}' for name, value, d in values if value != d)})"

    def __post_init__(self) -> None:
        for parameter in _get_parameters(type(self)):
            value = getattr(self, parameter.name)
            if not abs(value) <= MAX_PARAMETER:
                raise AttackError(f"{self.name}: {parameter.name} is {value}; use at most {MAX_PARAMETER:g}")


@dataclass(frozen=True)
class SignFlip(Attack):
    """−λ·μ. With λ = 1 Allen-Zhu et al. 2021 ("Byzantine-resilient non-convex SGD"); seed 002, section VI-C: λ = 5."""

    name = "sign_flip"
    factor: float = 1.0

    def compute(self, honest: Matrix) -> Vector:
        return -self.factor * _mean(honest)


@dataclass(frozen=True)
class Scaling(Attack):
    """λ·μ: the right direction, too far (model replacement, Bagdasaryan et al. 2020, "How to backdoor FL")."""

    name = "scaling"
    factor: float = 10.0

    def compute(self, honest: Matrix) -> Vector:
        return self.factor * _mean(honest)


@dataclass(frozen=True)
class Gaussian(Attack):
    """Each coordinate from N(mean, deviation²) (Blanchard et al. 2017). Drawn from `seed` and from the input."""

    name = "gaussian"
    mean: float = 0.0
    deviation: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deviation < 0:
            raise AttackError(f"{self.name}: deviation is {self.deviation}; use 0 or more")

    def compute(self, honest: Matrix) -> Vector:
        digest = hashlib.sha256(f"{self.seed} {honest.shape} ".encode() + honest.tobytes()).digest()
        random = np.random.default_rng(int.from_bytes(digest, "big"))
        drawn: Vector = random.normal(self.mean, self.deviation, size=honest.shape[1:])
        return drawn


@dataclass(frozen=True)
class LabelFlip(Attack):
    """μ of what was trained on labels l → C−1−l (Tolpegin et al. 2020): the wrong is in the data,
    `Examples.flip_labels`."""

    name = "label_flip"
    flips_labels = True

    def compute(self, honest: Matrix) -> Vector:
        return _mean(honest)


@dataclass(frozen=True)
class Alie(Attack):
    """μ + τ·σ: within the spread of the honest ones, so no outlier (Baruch et al. 2019, "A Little Is Enough").

    The paper subtracts; τ < 0 does. With f of n clients Byzantine, it has a majority on its side up to
    |τ| = Φ⁻¹((n − f − s)/(n − f)), s = ⌊n/2⌋ + 1 − f. The default is ByzFL's, and beyond that.
    """

    name = "alie"
    factor: float = 1.5

    def compute(self, honest: Matrix) -> Vector:
        return _mean(honest) + self.factor * _deviation(honest)


@dataclass(frozen=True)
class InnerProductManipulation(Attack):
    """−τ·μ with a τ so small that it is not far from the others (Xie et al. 2020, "Fall of Empires").

    The paper's ε; the formula is the sign flip's. Against a mean of n with f Byzantine it turns the descent around from
    τ > (n − f)/f.
    """

    name = "ipm"
    factor: float = 2.0

    def compute(self, honest: Matrix) -> Vector:
        return -self.factor * _mean(honest)


@dataclass(frozen=True)
class Mimic(Attack):
    """The vector of `member` once more: others' data lose their weight (Karimireddy et al. 2022, "… via Bucketing")."""

    name = "mimic"
    member: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.member < 0:
            raise AttackError(f"{self.name}: member is {self.member}; they are numbered from 0")

    @property
    def minimum_vectors(self) -> int:
        return self.member + 1

    def compute(self, honest: Matrix) -> Vector:
        if self.member >= len(honest):
            raise AttackError(f"{self} of {len(honest)} vectors; they are numbered from 0")
        copied: Vector = honest[self.member].copy()
        return copied


@dataclass(frozen=True)
class Target:
    """What a search aims at: `aggregate` of the honest vectors and `byzantine` copies of the one that is sent.

    `honest`: how many honest ones there will be; who does not have them all repeats those that it has. By default those
    that it has are all.
    """

    aggregate: Callable[[Matrix], Vector]
    byzantine: int
    honest: int | None = None


@dataclass(frozen=True)
class Searched(Attack):
    """With the factor that moves the target's aggregate furthest from the honest mean (Shejwalkar, Houmansadr 2021).

    Searched from 0 in steps of 10 that double as long as each does more damage, then shrink by a fifth at a time from
    the best one: the line search of ByzFL's "optimal" attacks (Allouah et al. 2023). It takes `evaluations`
    aggregations.
    """

    evaluations: int = 20
    target: Target | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.evaluations <= MAX_EVALUATIONS:
            raise AttackError(f"{self.name}: evaluations is {self.evaluations}; use 1 to {MAX_EVALUATIONS}")

    def aim(self, target: Target) -> Searched:
        """The same search against `target`."""
        return dataclasses.replace(self, target=target)

    def make(self, honest: Matrix, factor: float) -> Vector:
        """The attack with this factor."""
        raise NotImplementedError

    def compute(self, honest: Matrix) -> Vector:
        return self.make(honest, self.search(honest))

    def search(self, honest: Matrix) -> float:
        """The factor found; AttackError without a target."""
        target = self.target
        if target is None:
            raise AttackError(f"{self} has nothing to search against; aim it at a rule")
        crowd = honest if target.honest is None else np.resize(honest, (target.honest, honest.shape[1]))
        mean = _mean(crowd)

        def measure_damage(factor: float) -> float:
            sent = np.tile(self.make(honest, factor), (target.byzantine, 1))
            return float(np.linalg.norm(target.aggregate(np.concatenate([crowd, sent])) - mean))

        best, step, is_growing = 0.0, 10.0, True
        most = measure_damage(best)
        for _ in range(self.evaluations - 1):
            damage = measure_damage(best + step)
            is_growing = is_growing and damage > most
            if damage > most:
                best, most = best + step, damage
            step *= 2.0 if is_growing else 0.8
        return best


@dataclass(frozen=True)
class SearchedAlie(Searched):
    """μ + τ·σ with the τ that does the most damage."""

    name = "alie_searched"

    def make(self, honest: Matrix, factor: float) -> Vector:
        return _mean(honest) + factor * _deviation(honest)


@dataclass(frozen=True)
class SearchedInnerProductManipulation(Searched):
    """−τ·μ with the τ that does the most damage."""

    name = "ipm_searched"

    def make(self, honest: Matrix, factor: float) -> Vector:
        return -factor * _mean(honest)


ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (
        SignFlip,
        Scaling,
        Gaussian,
        LabelFlip,
        Alie,
        InnerProductManipulation,
        Mimic,
        SearchedAlie,
        SearchedInnerProductManipulation,
    )
}
_NUMBER = r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?"
_SYNTAX = re.compile(rf"([a-z_]{{1,32}})\(((?:[a-z_]{{1,32}}={_NUMBER}(?:, ?(?=[a-z])|(?=\))))*)\)")


def parse_attack(text: str) -> Attack:
    """The attack that `text` names, e.g. "sign_flip(factor=5)" or "mimic()"; AttackError for anything else."""
    match = _SYNTAX.fullmatch(text)
    if match is None or match[1] not in ATTACKS:
        raise AttackError(f"no attack {text[:64]!r}; {_usage()}")
    build = ATTACKS[match[1]]
    known = {parameter.name: parameter for parameter in _get_parameters(build)}
    given = [tuple(argument.split("=")) for argument in re.split(", ?", match[2]) if argument]
    if len({name for name, _ in given}) < len(given) or any(name not in known for name, _ in given):
        raise AttackError(f"{text[:64]!r} has other parameters than {match[1]} takes; {_usage()}")
    values = {name: float(value) for name, value in given}
    for name, value in values.items():
        if isinstance(known[name].default, int):
            if not value.is_integer():
                raise AttackError(f"{text[:64]!r}: {name} is a whole number")
            values[name] = int(value)
    return build(**values)


def _get_parameters(attack: type[Attack]) -> list[dataclasses.Field[Any]]:
    """Those that a text can give: numbers."""
    return [f for f in dataclasses.fields(attack) if isinstance(f.default, int | float)]  # type: ignore[arg-type]


def _format(value: float) -> str:
    return repr(value).removesuffix(".0")


def _usage() -> str:
    known = ((name, ", ".join(f"{f.name}=…" for f in _get_parameters(attack))) for name, attack in ATTACKS.items())
    return "use " + ", ".join(f"{name}({parameters})" for name, parameters in known)


def _mean(vectors: Matrix) -> Vector:
    mean: Vector = vectors.mean(axis=0)
    return mean


def _deviation(vectors: Matrix) -> Vector:
    if len(vectors) == 1:
        return np.zeros(vectors.shape[1])
    deviation: Vector = vectors.std(axis=0, ddof=1)
    return deviation
