"""How safe a task is: S_t = (N - |E_t|)/N · settled/(settled + faulty).  # seed 001, section G

Over the task's last attempts, of which the first ones start as settled; what is void for another's fault counts in
neither (A11, red team R7).
"""

from __future__ import annotations

from abci_app.state.participants import get_eligible_aggregators
from abci_app.state.state import State
from optfl.wire import state_pb2, transaction_pb2

SAFETY_WINDOW = 32  # attempts
_WINDOW_MASK = (1 << SAFETY_WINDOW) - 1


def record_outcome(task: state_pb2.Task, *, faulty: bool) -> None:
    """Note how an attempt or a turn ended. The caller puts the task."""
    task.outcomes = (task.outcomes << 1 | faulty) & _WINDOW_MASK


def is_safe(state: State, task: state_pb2.Task) -> bool:
    """Whether S_t is at least S_min. The comparison is exact: no division."""
    aggregators, eligible = len(task.parameters.aggregators), len(get_eligible_aggregators(state, task))
    if task.parameters.mode == transaction_pb2.MODE_PBFT:
        aggregators = eligible = 1  # the validators are whoever the chain has
    settled = SAFETY_WINDOW - task.outcomes.bit_count()
    return 100 * eligible * settled >= task.parameters.min_safety_percent * aggregators * SAFETY_WINDOW
