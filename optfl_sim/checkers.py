"""What must hold of every run, looked at after each block by one who sees everything and takes no part.

The checkers know the protocol's reference rule and the ledger's stores, and none of the ledger's own code for rounds:
what they say is said a second time, from the invariants of the design.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from abci_app.state import State
from abci_app.state.keyspace import round_key
from abci_app.state.safety import is_safe
from abci_app.state_machine import Event
from offchain.interfaces import Int16Vector, Int32Vector
from optfl import tasks
from optfl.aggregation import aggregate
from optfl.rules import parse_rule
from optfl.tasks import MAX_LIVE_ROUNDS
from optfl.vectors import ChunkedVector, Shape, compute_vector_id
from optfl.wire import state_pb2, transaction_pb2

FindVector = Callable[[bytes], ChunkedVector | None]
"""The vector with an id, if any replica stores it."""
ComputeFloat = Callable[
    [str, transaction_pb2.TaskParameters, Int32Vector, Sequence[Int16Vector], Sequence[int]], Int32Vector
]
"""The model of a float task, by the name of its aggregator."""


class Judgement(enum.Enum):
    """What an attempt's model is, by the reference."""

    RIGHT = "right"
    WRONG = "wrong"
    CLOSE = "further than θ, but not by so much that sketches must show it"  # of a float task: either verdict is right
    UNREADABLE = "what it was made of is stored nowhere"


_SKETCH_PERCENT = 150  # of θ: sketches are off by 4.5 % as a rule, and by this much never (`optfl.sketch`)


class CheckFailed(Exception):
    """A run within its assumptions broke an invariant: a bug of the ledger, of a role, or of the checker."""


@dataclass(frozen=True)
class Report:
    """What a run showed. `violations` are excused where an assumption is broken."""

    broken_assumptions: tuple[str, ...]
    violations: tuple[str, ...]
    rounds: int  # settled
    attempts: int
    lies: int  # attempts whose model is not what the rule makes of their inputs
    settled_lies: int  # of these, which became their round's model for good
    unpunished: int  # of these, whose authors were not convicted before the task had ended
    convicted: tuple[str, ...]  # parties, for good
    excluded: tuple[str, ...]  # parties, for a time, at least once
    slashed: tuple[str, ...]  # parties that lost stake
    honest_loss: int  # tokens of honest stakes, and of bonds for fraud proofs
    rounds_during_disputes: int  # that began while a vote went on, or a lie was open
    gains: Mapping[str, int]  # tokens that each party has more, or less, than at the start; fees and rewards included
    events: Mapping[str, int]  # how often each kind of event came


@dataclass
class Checkers:
    """Watches one chain. `names` has every party by address; who is in `culprits` may lose what it has."""

    names: Mapping[bytes, str]
    culprits: frozenset[str]
    find_vector: FindVector
    compute_float: ComputeFloat
    violations: list[str] = field(default_factory=list)
    newest_round: int = 0  # of any task
    _attempts: dict[tuple[int, int], state_pb2.Attempt] = field(default_factory=dict)
    _judged: dict[tuple[int, int], Judgement] = field(default_factory=dict)
    _digests: dict[bytes, bytes] = field(default_factory=dict)
    _owned: dict[tuple[int, bytes], int] = field(default_factory=dict)  # stake of (role, account), with what unbonds
    _losses: Counter[str] = field(default_factory=Counter)
    _excluded: dict[str, None] = field(default_factory=dict)
    _convicted: dict[str, None] = field(default_factory=dict)
    _events: Counter[str] = field(default_factory=Counter)
    _first_owned: dict[str, int] = field(default_factory=dict)  # party -> all its tokens at the start
    _last_owned: dict[str, int] = field(default_factory=dict)
    _rounds_during_disputes: int = 0
    _settled_lies: int = 0

    def check_block(self, height: int, state: State, events: Sequence[Event]) -> None:
        """Look at the state after a block, and at what the block says of itself."""
        self._check_stakes(height, state)
        self._check_events(height, events)
        self._last_owned = self._count_tokens(state)
        self._first_owned = self._first_owned or self._last_owned
        for _, task in state.tasks.items():
            self.newest_round = max(self.newest_round, task.head_round)
            self._check_attempts(height, state, task)
            self._check_digests(height, state, task)
            self._check_training_goes_on(height, state, task)
        if self._is_disputed(state):
            self._rounds_during_disputes += sum(event.kind == "round_started" for event in events)

    def build_report(self, broken_assumptions: Sequence[str]) -> Report:
        return Report(
            broken_assumptions=tuple(broken_assumptions),
            violations=tuple(self.violations),
            rounds=len(self._digests),
            attempts=sum(bool(attempt.aggregator or attempt.signers) for attempt in self._attempts.values()),
            lies=len(lies := [key for key, judgement in self._judged.items() if judgement is Judgement.WRONG]),
            settled_lies=self._settled_lies,
            unpunished=sum(self._name(self._attempts[key].aggregator) not in self._convicted for key in lies),
            convicted=tuple(sorted(self._convicted)),
            excluded=tuple(sorted(self._excluded)),
            slashed=tuple(sorted(self._losses)),
            honest_loss=sum(loss for name, loss in self._losses.items() if name not in self.culprits),
            rounds_during_disputes=self._rounds_during_disputes,
            gains={name: self._last_owned[name] - owned for name, owned in sorted(self._first_owned.items())},
            events=dict(sorted(self._events.items())),
        )

    def fail(self, height: int, text: str) -> None:
        """Note something that must not be."""
        self.violations.append(f"block {height}: {text}")

    def _name(self, address: bytes) -> str:
        return self.names.get(address, address.hex())

    # Invariant 2: who follows the protocol loses nothing.

    def _check_stakes(self, height: int, state: State) -> None:
        unbonding: Counter[tuple[int, bytes]] = Counter()
        for _, entry in state.unbonding.items():
            unbonding[entry.role, entry.address] += entry.amount
        for _, stake in state.stakes.items():
            owner = (stake.role, stake.address)
            total = stake.amount + unbonding[owner]
            lost = self._owned.get(owner, 0) - total  # nobody's stake is released in a simulation
            name = self._name(stake.address)
            if lost > 0:
                self._note_loss(height, name, lost, "of its stake")
            self._owned[owner] = total
            if stake.excluded_until_height:
                self._note_exclusion(height, name, self._excluded, "for a time")
            if stake.excluded:
                self._note_exclusion(height, name, self._convicted, "for good")

    def _note_loss(self, height: int, name: str, amount: int, what: str) -> None:
        self._losses[name] += amount
        if name not in self.culprits:
            self.fail(height, f"{name} is honest and lost {amount} {what}")

    def _note_exclusion(self, height: int, name: str, known: dict[str, None], how: str) -> None:
        if name not in known and name not in self.culprits:
            self.fail(height, f"{name} is honest and was excluded {how}")
        known[name] = None

    def _check_events(self, height: int, events: Sequence[Event]) -> None:
        for event in events:
            self._events[event.kind] += 1
            if event.kind == "proof_failed":
                said = dict(event.attributes)
                self._note_loss(
                    height, self._name(bytes.fromhex(said["prover"])), int(said["bond"]), "on a fraud proof"
                )

    def _count_tokens(self, state: State) -> dict[str, int]:
        """By party: balance, stakes, and bonds that are out."""
        owned: Counter[bytes] = Counter(dict.fromkeys(self.names, 0))
        for address, account in state.accounts.items():
            owned[address] += account.balance
        for _, stake in state.stakes.items():
            owned[stake.address] += stake.amount
        for _, entry in state.unbonding.items():
            owned[entry.address] += entry.amount
        for _, challenge in state.challenges.items():
            for bond in challenge.bonds:
                owned[bond.address] += bond.amount
        for _, demand in state.demands.items():
            owned[demand.bond.address] += demand.bond.amount
        return {name: owned[address] for address, name in self.names.items()}

    def _is_disputed(self, state: State) -> bool:
        """Whether a vote goes on, or a wrong model waits to be found."""
        if any(c.status != state_pb2.CHALLENGE_STATUS_DECIDED for _, c in state.challenges.items()):
            return True
        return any(
            judgement is Judgement.WRONG and self._attempts[key].status == state_pb2.ATTEMPT_STATUS_OPEN
            for key, judgement in self._judged.items()
        )

    # Safety: whatever settles is what the rule makes of its inputs; whoever is convicted did not make that.

    def _check_attempts(self, height: int, state: State, task: state_pb2.Task) -> None:
        for _, attempt in state.attempts.items(task.task_id.to_bytes(8, "big")):
            key = (attempt.task_id, attempt.attempt_id)
            if self._judged.get(key, Judgement.UNREADABLE) is Judgement.UNREADABLE:
                self._judged[key] = self._judge(task, attempt)
            before = self._attempts.get(key)
            is_new = before is None or before.status != attempt.status
            if is_new and attempt.status == state_pb2.ATTEMPT_STATUS_CONVICTED and self._judged[key] is Judgement.RIGHT:
                self.fail(
                    height, f"attempt {attempt.attempt_id} of {self._name(attempt.aggregator)} is right, and convicted"
                )
            self._attempts[key] = attempt

    def _judge(self, task: state_pb2.Task, attempt: state_pb2.Attempt) -> Judgement:
        if not attempt.aggregator and not attempt.signers:  # a dropped round
            return Judgement.RIGHT if attempt.model_root == attempt.base_root else Judgement.WRONG
        parameters = task.parameters
        base = self._find(tasks.model_shape(parameters), attempt.base_root)
        updates = [self._find(tasks.update_shape(parameters), given.update_root) for given in attempt.inputs]
        found = [update for update in updates if update is not None]
        if base is None or len(found) < len(updates):
            return Judgement.UNREADABLE
        values = [tasks.expand_update(parameters, update.values) for update in found]
        weights = [given.weight for given in attempt.inputs]
        if (name := tasks.parse_plugin(attempt.rule)) is not None:
            return self._measure(
                parameters, attempt, self.compute_float(name, parameters, base.values, values, weights)
            )
        facts = tasks.get_facts(attempt)
        expected = aggregate(parse_rule(attempt.rule), base.values, values, facts, len(base.values))
        is_right = ChunkedVector(tasks.model_shape(parameters), expected.model).root == attempt.model_root
        if expected.trace is not None:
            trace = ChunkedVector(tasks.trace_shape(parameters, facts.updates), expected.trace)
            is_right &= trace.root == attempt.reduction.trace_root
            is_right &= expected.weights == tuple(attempt.reduction.weights)
        return Judgement.RIGHT if is_right else Judgement.WRONG

    def _measure(
        self, parameters: transaction_pb2.TaskParameters, attempt: state_pb2.Attempt, expected: Int32Vector
    ) -> Judgement:
        """A float task's lie is what is further than θ from the result that everybody else has."""
        claimed = self._find(tasks.model_shape(parameters), attempt.model_root)
        if claimed is None:
            return Judgement.UNREADABLE
        apart = expected.astype(np.int64) - claimed.values
        squared = sum(int(value) ** 2 for value in apart)
        if squared <= parameters.vote_theta**2:
            return Judgement.RIGHT
        is_wrong = 100**2 * squared > (_SKETCH_PERCENT * parameters.vote_theta) ** 2
        return Judgement.WRONG if is_wrong else Judgement.CLOSE

    def _find(self, shape: Shape, root: bytes) -> ChunkedVector | None:
        return self.find_vector(compute_vector_id(shape, root))

    def _check_digests(self, height: int, state: State, task: state_pb2.Task) -> None:
        for number in range(1, task.settled_round + 1):
            key = round_key(task.task_id, number)
            digest = state.digests.get(key)
            encoded = b"" if digest is None else digest.SerializeToString(deterministic=True)
            if key in self._digests:
                if encoded != self._digests[key]:
                    self.fail(height, f"round {number} was settled, and is another one now")
                continue
            self._digests[key] = encoded
            if digest is not None:
                self._check_settled(height, task, digest)
        known = sum(key.startswith(task.task_id.to_bytes(8, "big")) for key in self._digests)
        if known > task.settled_round:
            self.fail(height, f"{known} rounds were settled, now {task.settled_round} are")

    def _check_settled(self, height: int, task: state_pb2.Task, digest: state_pb2.Digest) -> None:
        key = (task.task_id, digest.attempt_id)
        attempt = self._attempts.get(key)
        if attempt is None or attempt.model_root != digest.model_root:
            self.fail(height, f"round {digest.round} settled with an attempt that was never open")
            return
        if self._judged[key] is Judgement.UNREADABLE:
            self._judged[key] = self._judge(task, attempt)
        who = self._name(attempt.aggregator)
        if self._judged[key] is Judgement.UNREADABLE:
            self.fail(height, f"round {digest.round} settled, and no replica has what it was made of ({who})")
        elif self._judged[key] is Judgement.WRONG:
            self._settled_lies += 1
            self.fail(height, f"round {digest.round} settled with a wrong model ({who})")
        elif attempt.aggregator and self._find(tasks.model_shape(task.parameters), attempt.model_root) is None:
            self.fail(height, f"round {digest.round} settled with a model that no replica has ({who})")

    # Invariant 6: training waits for no dispute.

    def _check_training_goes_on(self, height: int, state: State, task: state_pb2.Task) -> None:
        if task.status != state_pb2.TASK_STATUS_RUNNING or task.cancelled:
            return
        if task.head_round in (task.parameters.rounds, task.settled_round + MAX_LIVE_ROUNDS) or not is_safe(
            state, task
        ):
            return
        head = state.rounds.get(round_key(task.task_id, task.head_round))
        if head is None:
            self.fail(height, f"round {task.head_round} has settled and the next one did not start")
            return
        if head.status != state_pb2.ROUND_STATUS_OPEN or head.undecided_votes:
            return  # clients or an aggregator are at work; or a vote decides first, as it must (V5)
        if height >= head.start_height + task.parameters.min_round_blocks:
            self.fail(height, f"round {head.round} has its model and the next one did not start")
