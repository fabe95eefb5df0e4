"""A Byzantine client of the command line: its attack, aimed at the rule that the ledger's task has."""

from __future__ import annotations

import numpy as np
import pytest

from offchain.learning.attacks import Alie, SearchedAlie
from offchain.learning.byzantine import ColludingTrainer, make_target
from optfl.rules import parse_rule
from optfl.wire import transaction_pb2
from optfl_cli.commands.client import make_byzantine
from optfl_cli.errors import UserError
from support.trainer import FRACTION_BITS, LENGTH, SoftmaxTrainer

MODEL = np.zeros(LENGTH, dtype=np.int32)


def make_parameters(rule: str) -> transaction_pb2.TaskParameters:
    return transaction_pb2.TaskParameters(rule=rule, fraction_bits=FRACTION_BITS, clients_per_round=7)


def test_a_search_aims_at_the_tasks_rule_and_its_number_of_clients() -> None:
    trainers = [SoftmaxTrainer(0), SoftmaxTrainer(1)]
    made = make_byzantine(trainers, 1, SearchedAlie(), make_parameters("trimmed_mean(f=2)"))
    target = make_target(parse_rule("trimmed_mean(f=2)"), FRACTION_BITS, byzantine=2, honest=5)
    expected = ColludingTrainer(trainers, 1, SearchedAlie().aim(target), FRACTION_BITS)
    assert np.array_equal(made.train(MODEL, 0)[0], expected.train(MODEL, 0)[0])


def test_a_search_needs_an_exact_rule() -> None:
    with pytest.raises(UserError, match="searches against an exact rule") as caught:
        make_byzantine([SoftmaxTrainer(0)], 0, SearchedAlie(), make_parameters("float(trimmed)"))
    assert "\n" not in str(caught.value)
    make_byzantine([SoftmaxTrainer(0)], 0, Alie(), make_parameters("float(trimmed)"))
