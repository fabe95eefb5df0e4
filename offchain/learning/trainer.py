"""A plain torch module and one client's data as a Trainer: int32 model in, int16 update out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from offchain.interfaces import Int16Vector, Int32Vector, Trainer
from offchain.learning.data import ClientData, DataError
from offchain.learning.modules import FlatModule
from offchain.learning.quantisation import ErrorFeedback, FloatVector, dequantise, quantise_model, quantise_update

EVALUATION_BATCH = 1024

# torch's random state and number of threads are the process's: one computation at a time, whichever thread asks.
_TORCH = threading.Lock()


@dataclass(frozen=True)
class Hyperparameters:
    """Local training: SGD with momentum on the client's own examples.

    Every client does the same number of steps, not of epochs: that bounds its time and keeps updates comparable in
    length, as coordinate-wise rules need.
    """

    steps: int = 50
    batch_size: int = 16
    learning_rate: float = 0.1
    momentum: float = 0.9
    # Longer gradients are cut: one bad batch can throw a client far off (Pascanu et al. 2013).
    max_gradient_norm: float = 2.0
    # Both keep a client from unlearning the classes it lacks: smoothed labels (Szegedy et al. 2016), and logits shifted
    # by τ times the log of the client's own class frequencies (Menon et al. 2021; on clients Zhang et al. 2022).
    label_smoothing: float = 0.1
    prior_correction: float = 0.5
    stochastic_rounding: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(f"{self.steps} steps of {self.batch_size} examples; use at least one of each")


class TorchTrainer(Trainer):
    """Trains `module_factory()`, which maps inputs to logits, on `data`.

    Without `error_feedback`, an update is a function of (model, seed). Sets torch's threads for the whole process: by
    default one, since several clients often share a machine, and a sum over threads need not repeat bit for bit.
    Raises ModuleError if the module's state is not one float32 vector, DataError if the data does not fit the module.
    """

    def __init__(
        self,
        module_factory: Callable[[], nn.Module],
        data: ClientData,
        fraction_bits: int,
        hyperparameters: Hyperparameters | None = None,
        *,
        error_feedback: bool = False,
        threads: int = 1,
    ) -> None:
        if not len(data.train) or not len(data.test):
            raise DataError("a client needs examples to train on and examples to test on")
        torch.set_num_threads(threads)
        with _TORCH:
            self._flat = FlatModule(module_factory())
        self._fraction_bits = fraction_bits
        self._hyperparameters = hyperparameters or Hyperparameters()
        self._feedback = ErrorFeedback(fraction_bits) if error_feedback else None
        self._inputs, self._labels = torch.tensor(data.train.inputs), torch.tensor(data.train.labels)
        self._test_inputs, self._test_labels = torch.tensor(data.test.inputs), torch.tensor(data.test.labels)
        with _TORCH, torch.inference_mode():
            classes = self._flat.module(self._test_inputs[:1]).shape[1]
        labels = torch.cat([self._labels, self._test_labels])
        if labels.min() < 0 or labels.max() >= classes:
            raise DataError(f"the module has {classes} logits: labels must be 0 to {classes - 1}")
        counts = torch.bincount(self._labels, minlength=classes) + 1.0  # Laplace's rule: no class is impossible
        self._prior = (counts / counts.sum()).log()

    @property
    def examples(self) -> int:
        """To train on: an update's weight."""
        return len(self._labels)

    def train(self, model: Int32Vector, seed: int) -> tuple[Int16Vector, int]:
        """Return trained - `model`, quantised, and the number of examples.

        Raises ModuleError if the model's length differs from the module's, QuantisationError if training diverges.
        """
        random = np.random.default_rng(seed)
        difference = self._train(dequantise(model, self._fraction_bits), random)
        rounding = _draw_seed(random) if self._hyperparameters.stochastic_rounding else None
        if self._feedback is not None:
            return self._feedback.quantise(difference, rounding), self.examples
        return quantise_update(difference, self._fraction_bits, rounding), self.examples

    def train_real(self, model: FloatVector, seed: int) -> tuple[FloatVector, int]:
        """`train` before anything is quantised, from a real-valued model [D]; never touches the error feedback."""
        return self._train(model, np.random.default_rng(seed)), self.examples

    def _train(self, model: FloatVector, random: np.random.Generator) -> FloatVector:
        parameters, examples = self._hyperparameters, self.examples
        drawn = parameters.steps * parameters.batch_size
        order = np.concatenate([random.permutation(examples) for _ in range(-(-drawn // examples))])[:drawn]
        with _seeded(_draw_seed(random)):
            self._flat.unflatten(model)
            base = self._flat.flatten()
            self._flat.module.train()
            velocity = torch.zeros_like(self._flat.values)
            for batch in torch.split(torch.from_numpy(order), parameters.batch_size):
                self._flat.gradients.zero_()
                torch.autograd.backward(self._compute_loss(self._inputs[batch], self._labels[batch]))
                # Not torch.optim: importing its optimizers takes as long as the rest of torch, for these three lines.
                self._flat.gradients.mul_((parameters.max_gradient_norm / self._flat.gradients.norm()).clamp(max=1.0))
                velocity.mul_(parameters.momentum).add_(self._flat.gradients)
                self._flat.values.sub_(velocity, alpha=parameters.learning_rate)
            difference: FloatVector = self._flat.flatten().astype(np.float64) - base
        return difference

    def evaluate(self, model: Int32Vector) -> float:
        """Return the accuracy of `model` on the test examples, in 0..1; raises ModuleError."""
        with _TORCH, torch.inference_mode():
            self._flat.unflatten(dequantise(model, self._fraction_bits))
            self._flat.module.eval()
            batches = zip(
                torch.split(self._test_inputs, EVALUATION_BATCH),
                torch.split(self._test_labels, EVALUATION_BATCH),
                strict=True,
            )
            correct = sum(int((self._flat.module(inputs).argmax(1) == labels).sum()) for inputs, labels in batches)
        return correct / len(self._test_labels)

    def _compute_loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        parameters = self._hyperparameters
        logits = self._flat.module(inputs) + parameters.prior_correction * self._prior
        return functional.cross_entropy(logits, labels, label_smoothing=parameters.label_smoothing)


def compute_initial_model(module_factory: Callable[[], nn.Module], fraction_bits: int, seed: int) -> Int32Vector:
    """Return G_0: the module as it initialises itself from `seed`, quantised; raises ModuleError."""
    with _seeded(seed):
        return quantise_model(FlatModule(module_factory()).flatten(), fraction_bits)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Have torch to oneself, with its random state set from `seed` and put back afterwards."""
    with _TORCH, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _draw_seed(random: np.random.Generator) -> int:
    return int(random.integers(2**63))
