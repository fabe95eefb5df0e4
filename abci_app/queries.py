"""Answers to queries outside `/store/`: composite views, each consistent at one height. They carry no proof."""

from __future__ import annotations

from collections.abc import Callable

from abci_app.state import State
from abci_app.state.keyspace import commitment_prefix, stake_key, task_key
from abci_app.state_machine import Stores
from optfl.keys import ADDRESS_BYTES
from optfl.query_codes import MALFORMED_DATA, NOT_FOUND, UNKNOWN_PATH
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
    task = state.tasks.get(data)
    if task is None:
        raise QueryError(NOT_FOUND, f"no task {int.from_bytes(data, 'big')}")
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
    )
    for replica in task.parameters.replicas:
        stake = state.stakes.get(stake_key(transaction_pb2.ROLE_REPLICA, replica))
        view.replica_keys.append(b"" if stake is None else stake.public_key)
    return view.SerializeToString(deterministic=True)


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
    ).SerializeToString(deterministic=True)


def _get_validators(state: State, data: bytes, height: int) -> bytes:
    validators = [v for _, v in state.validators.items()]
    return state_pb2.ValidatorList(height=height, validators=validators).SerializeToString(deterministic=True)


def _check_address(data: bytes) -> None:
    if len(data) != ADDRESS_BYTES:
        raise QueryError(MALFORMED_DATA, f"{len(data)} bytes; an address has {ADDRESS_BYTES}")


_HANDLERS: dict[str, Callable[[State, bytes, int], bytes]] = {
    "/task": _get_task,
    "/tasks": _get_tasks,
    "/account": _get_account,
    "/stakes": _get_stakes,
    "/validators": _get_validators,
    "/tokens": _get_tokens,
    "/supply": lambda state, data, height: state.supply.SerializeToString(deterministic=True),
    "/params": lambda state, data, height: state.params.SerializeToString(deterministic=True),
    "/chain": lambda state, data, height: state.chain.SerializeToString(deterministic=True),
}
