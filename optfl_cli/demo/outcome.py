"""What came out of a run, computed from what each node answers and from nothing else."""

from __future__ import annotations

import base64
import functools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from offchain.adapters.gateway import Gateway
from offchain.interfaces import LedgerUnavailable
from optfl.transactions import decode_reveal
from optfl.wire import state_pb2

BEACON_BLOCKS = 100  # that are looked at for reveals, the last ones


@dataclass(frozen=True)
class NodeAnswer:
    """One node's account of the chain. `app_hash` is after block `app_hash_height`, which is the same for all nodes.

    `reveals` tells of the last blocks whether each began with a value of its proposer's hash chain.
    """

    name: str
    app_hash_height: int
    app_hash: bytes
    task: state_pb2.TaskView
    tokens: state_pb2.TokenView
    reveals: tuple[bool, ...] = ()


async def ask_nodes(urls: Mapping[str, str], task_id: int) -> list[NodeAnswer]:
    """Ask every node, by its RPC address, once it has seen the task end. A node that does not answer is left out."""
    gateways = {name: Gateway(url) for name, url in urls.items()}
    try:
        for name, gateway in list(gateways.items()):
            try:
                await _wait_for_end(gateway, task_id)
            except LedgerUnavailable:
                await gateways.pop(name).close()
        # The app hash after a common height: it stands in a header that every node has.
        height = min([await gateway.get_height() for gateway in gateways.values()], default=0) - 1
        return [await _ask_node(name, gateway, task_id, height) for name, gateway in gateways.items()]
    finally:
        for gateway in gateways.values():
            await gateway.close()


async def _wait_for_end(gateway: Gateway, task_id: int) -> None:
    height = 0
    while (view := await gateway.get_task(task_id)) is None or not view.task.ended_height:
        height = await gateway.wait_for_block(height)


async def _ask_node(name: str, gateway: Gateway, task_id: int, height: int) -> NodeAnswer:
    task = await gateway.get_task(task_id)
    tokens = await gateway.query_view("/tokens", state_pb2.TokenView)
    if task is None or tokens is None:
        raise LookupError(f"{name} knows no task {task_id}")
    last = range(max(height - BEACON_BLOCKS, 0) + 1, height + 1)
    reveals = tuple([await _begins_with_reveal(gateway, number) for number in last])
    return NodeAnswer(name, height, await gateway.get_app_hash(height), task, tokens, reveals)


async def _begins_with_reveal(gateway: Gateway, height: int) -> bool:
    transactions = (await gateway.get_block(height))["block"]["data"]["txs"] or [""]
    return decode_reveal(base64.b64decode(transactions[0])) is not None


def is_conserved(tokens: state_pb2.TokenView) -> bool:
    """Invariant 4, added up by ourselves: what accounts have, and what is held for them, is what genesis gave out."""
    total = sum(balance.amount for balance in tokens.balances)
    total += sum(stake.amount for stake in tokens.stakes)
    total += sum(entry.amount for entry in tokens.unbonding)
    total += sum(escrow.amount for escrow in tokens.escrows)
    return total + tokens.bonds + tokens.supply.fee_pot + tokens.supply.burned == tokens.supply.genesis


def compute_outcome(answers: Sequence[NodeAnswer], names: Mapping[bytes, str]) -> dict[str, Any]:
    """The figures of `optfl demo --json` that the ledger knows. A figure on which nodes differ is the worst of them.

    `names` are what people call the accounts. Accuracy is not among them: the ledger does not know it.
    """
    views = [answer.task for answer in answers]
    convictions = [list(view.convictions) for view in views]
    return {
        "task_status": _get_status(views),
        "rounds": min(view.task.parameters.rounds for view in views),
        "rounds_settled": min(min(view.task.settled_round, len(view.digests)) for view in views),
        "frauds_proven": min(len(known) for known in convictions),
        "blocks_to_conviction": _get_slowest_conviction(convictions),
        "proof_kinds": sorted(set.intersection(*({c.proof_kind for c in known} for known in convictions))),
        "rollbacks": min(sum(c.reverted for c in known) for known in convictions),
        "rounds_voided": max(sum(c.voided_rounds for c in known) for known in convictions),
        "redone_from_same_updates": all(is_redone_from_same_updates(view) for view in views),
        "excluded": sorted(set.intersection(*(_get_excluded(answer.tokens, names) for answer in answers))),
        "slashed": min(sum(c.slashed for c in known) for known in convictions),
        "burned": min(answer.tokens.supply.burned for answer in answers),
        "settled_by": _count_settled(views, names),
        "beacon_blocks": min(len(answer.reveals) for answer in answers),
        "beacon_reveals": min(sum(answer.reveals) for answer in answers),
        "tokens_conserved": _are_conserved([answer.tokens for answer in answers]),
        "app_hash_agreement": _is_app_hash_agreed(answers),
        "state_agreement": len({_summarise(view) for view in views}) == 1,
        "height": min(view.height for view in views),
        "nodes": len(answers),
    }


def get_final_root(answers: Sequence[NodeAnswer]) -> bytes | None:
    """Root of the last settled model; None if no round is settled, or if nodes name different ones."""
    roots = {answer.task.digests[-1].model_root if answer.task.digests else b"" for answer in answers}
    root = roots.pop() if len(roots) == 1 else b""
    return root or None


def is_redone_from_same_updates(view: state_pb2.TaskView) -> bool:
    """Whether every reverted attempt's round was settled from the very inputs that the convicted aggregator had.

    Not those of rounds that were void with an earlier one: their clients trained again.
    """
    reverts = [c for c in view.convictions if c.reverted]
    digests = {digest.round: digest for digest in view.digests}
    for conviction in reverts:
        if any(c.round < conviction.round and c.convicted_height >= conviction.convicted_height for c in reverts):
            continue
        digest = digests.get(conviction.round)
        if digest is None or digest.aggregator in (b"", conviction.aggregator):
            return False
        if digest.inputs_hash != conviction.inputs_hash:
            return False
    return True


def _get_status(views: Sequence[state_pb2.TaskView]) -> str:
    statuses = {state_pb2.TaskStatus.Name(view.task.status).removeprefix("TASK_STATUS_").lower() for view in views}
    return statuses.pop() if len(statuses) == 1 else "nodes differ: " + ", ".join(sorted(statuses))


def _get_excluded(tokens: state_pb2.TokenView, names: Mapping[bytes, str]) -> set[str]:
    return {names.get(stake.address, stake.address.hex()) for stake in tokens.stakes if stake.excluded}


def _count_settled(views: Sequence[state_pb2.TaskView], names: Mapping[bytes, str]) -> dict[str, int]:
    """Rounds by the aggregator who settled them; of each, no more than every node knows of."""
    counts = [
        Counter(names.get(d.aggregator, d.aggregator.hex()) if d.aggregator else "dropped" for d in view.digests)
        for view in views
    ]
    return dict(sorted(functools.reduce(operator.and_, counts).items()))


def _get_slowest_conviction(convictions: Sequence[Sequence[state_pb2.Conviction]]) -> int | None:
    """Blocks from an attempt to its conviction, at most; None if a node knows of none."""
    if not all(convictions):
        return None
    return max(c.convicted_height - c.submit_height for known in convictions for c in known)


def _are_conserved(views: Sequence[state_pb2.TokenView]) -> bool:
    """The same genesis for all, and with each node every token of it is somewhere. No tokens at all is no answer."""
    genesis = {view.supply.genesis for view in views}
    return len(genesis) == 1 and genesis != {0} and all(map(is_conserved, views))


def _is_app_hash_agreed(answers: Sequence[NodeAnswer]) -> bool:
    hashes = {(answer.app_hash_height, answer.app_hash) for answer in answers}
    return len(answers) > 1 and len(hashes) == 1 and all(answer.app_hash for answer in answers)


def _summarise(view: state_pb2.TaskView) -> tuple[object, ...]:
    """What all nodes must say alike of a task that has ended, at whatever height they are."""
    return (
        view.task.SerializeToString(deterministic=True),
        tuple(digest.SerializeToString(deterministic=True) for digest in view.digests),
        tuple(conviction.SerializeToString(deterministic=True) for conviction in view.convictions),
    )
