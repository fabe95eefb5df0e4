"""Answers to queries outside `/store/`: composite views, each consistent at one height. They carry no proof."""

from __future__ import annotations

from collections.abc import Callable

from abci_app.state import State
from abci_app.state.keyspace import commitment_prefix, stake_key, task_key
from abci_app.state.members import get_members
from abci_app.state_machine import Stores
from optfl.keys import ADDRESS_BYTES
from optfl.query_codes import MALFORMED_DATA, NOT_FOUND, UNKNOWN_PATH
from optfl.views import DIGEST_BYTES, build_parts
from optfl.wire import state_pb2, transaction_pb2


class QueryError(Exception):
    """A query that has no answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def query(stores: Stores, path: str, data: bytes, height: int) -> tuple[int, bytes]:
    """(0, encoded message of state.proto), or (code, message for people). `height` is that of `stores`."""
    handler = _HANDLERS.get(path)
    if handler is None:
        return UNKNOWN_PATH, f"no path {path}; use one of {', '.join(_HANDLERS)} or /store/<name>/key".encode()
    try:
        return 0, handler(State(stores), data, height)
    except QueryError as error:
        return error.code, str(error).encode()


def _get_task(state: State, data: bytes, height: int) -> bytes:
    if len(data) != 8:
        raise QueryError(MALFORMED_DATA, f"{len(data)} bytes; a task id has 8, big-endian")
    return _build_view(state, data, height).SerializeToString(deterministic=True)


def _get_task_parts(state: State, data: bytes, height: int) -> bytes:
    """The view without what the asker has, as the digests behind the task's id say: many look, and at many blocks."""
    task_id, digests = data[:8], data[8:]
    if len(task_id) != 8 or len(digests) % DIGEST_BYTES != 0:
        raise QueryError(MALFORMED_DATA, f"{len(data)} bytes; a task id has 8, big-endian, each SHA-256 behind it 32")
    known = {digests[i : i + DIGEST_BYTES] for i in range(0, len(digests), DIGEST_BYTES)}
    return build_parts(_build_view(state, task_id, height), known).SerializeToString(deterministic=True)


def _build_view(state: State, task_id: bytes, height: int) -> state_pb2.TaskView:
    task = state.tasks.get(task_id)
    if task is None:
        raise QueryError(NOT_FOUND, f"no task {int.from_bytes(task_id, 'big')}")
    prefix = task_key(task.task_id)
    rounds = [r for _, r in state.rounds.items(prefix)]
    view = state_pb2.TaskView(
        height=height,
        task=task,
        rounds=rounds,
        commitments=[_get_round_commitments(state, r) for r in rounds],
        attempts=[a for _, a in state.attempts.items(prefix)],
        digests=[d for _, d in state.digests.items(prefix)],
        convictions=[c for _, c in state.disputes.items(prefix)],
        validators=[v.operator for _, v in state.validators.items() if v.power > 0],
        challenges=[c for _, c in state.challenges.items(prefix)],
        demands=[d for _, d in state.demands.items(prefix)],
        audits=[_parse_audit_key(key) for key in state.audits.all_keys(prefix)],
        members=get_members(state, task),
        watches=[_get_watch(key, watch) for key, watch in state.watches.items(prefix)],
        announcements=[_get_announcement(key, a) for key, a in state.announcements.items(prefix)],
    )
    for replica in task.parameters.replicas:
        stake = state.stakes.get(stake_key(transaction_pb2.ROLE_REPLICA, replica))
        view.replica_keys.append(b"" if stake is None else stake.public_key)
    return view


def _parse_audit_key(key: bytes) -> state_pb2.AnsweredAudit:
    return state_pb2.AnsweredAudit(attempt_id=int.from_bytes(key[8:12], "big"), replica=int.from_bytes(key[12:], "big"))


def _get_watch(key: bytes, watch: state_pb2.Watch) -> state_pb2.AttestedWatch:
    return state_pb2.AttestedWatch(attempt_id=int.from_bytes(key[8:12], "big"), operator=key[12:], watch=watch)


def _get_announcement(key: bytes, announcement: state_pb2.Announcement) -> state_pb2.AnnouncedProof:
    return state_pb2.AnnouncedProof(
        attempt_id=int.from_bytes(key[8:12], "big"), prover=key[12:], announcement=announcement
    )


def _get_round_commitments(state: State, current: state_pb2.Round) -> state_pb2.RoundCommitments:
    prefix = commitment_prefix(current.task_id, current.round, current.parent_attempt)
    return state_pb2.RoundCommitments(
        commitments=[
            state_pb2.IndexedCommitment(index=int.from_bytes(key[-4:], "big"), commitment=commitment)
            for key, commitment in state.commitments.items(prefix)
        ]
    )


def _get_tasks(state: State, data: bytes, height: int) -> bytes:
    tasks = [task for _, task in state.tasks.items()]
    return state_pb2.TaskList(height=height, tasks=tasks).SerializeToString(deterministic=True)


def _get_account(state: State, data: bytes, height: int) -> bytes:
    _check_address(data)
    account = state.accounts.get(data)
    if account is None:
        raise QueryError(NOT_FOUND, f"no account {data.hex()}; an account begins with the first transfer to it")
    return account.SerializeToString(deterministic=True)


def _get_stakes(state: State, data: bytes, height: int) -> bytes:
    if data:
        _check_address(data)
    return state_pb2.StakeList(
        height=height,
        stakes=[s for _, s in state.stakes.items() if data in (b"", s.address)],
        unbonding=[u for _, u in state.unbonding.items() if data in (b"", u.address)],
    ).SerializeToString(deterministic=True)


def _get_tokens(state: State, data: bytes, height: int) -> bytes:
    return state_pb2.TokenView(
        height=height,
        supply=state.supply,
        balances=[state_pb2.Balance(address=a, amount=account.balance) for a, account in state.accounts.items()],
        stakes=[s for _, s in state.stakes.items()],
        unbonding=[u for _, u in state.unbonding.items()],
        escrows=[state_pb2.Escrow(task_id=t.task_id, amount=t.escrow) for _, t in state.tasks.items()],
        bonds=_sum_bonds(state),
    ).SerializeToString(deterministic=True)


def _sum_bonds(state: State) -> int:
    challenges = sum(bond.amount for _, challenge in state.challenges.items() for bond in challenge.bonds)
    return challenges + sum(demand.bond.amount for _, demand in state.demands.items())


def _get_validators(state: State, data: bytes, height: int) -> bytes:
    validators = [v for _, v in state.validators.items()]
    return state_pb2.ValidatorList(height=height, validators=validators).SerializeToString(deterministic=True)


def _check_address(data: bytes) -> None:
    if len(data) != ADDRESS_BYTES:
        raise QueryError(MALFORMED_DATA, f"{len(data)} bytes; an address has {ADDRESS_BYTES}")


_HANDLERS: dict[str, Callable[[State, bytes, int], bytes]] = {
    "/task": _get_task,
    "/task/parts": _get_task_parts,
    "/tasks": _get_tasks,
    "/account": _get_account,
    "/stakes": _get_stakes,
    "/validators": _get_validators,
    "/tokens": _get_tokens,
    "/supply": lambda state, data, height: state.supply.SerializeToString(deterministic=True),
    "/params": lambda state, data, height: state.params.SerializeToString(deterministic=True),
    "/chain": lambda state, data, height: state.chain.SerializeToString(deterministic=True),
}
