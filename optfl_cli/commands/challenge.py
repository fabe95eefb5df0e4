"""`optfl challenge`: have the validators recompute an attempt and vote on it."""

from __future__ import annotations

import click

from offchain.adapters.ledger import CometLedger
from optfl.keys import SigningKey
from optfl.wire import transaction_pb2
from optfl_cli.display import print_json
from optfl_cli.errors import UserError
from optfl_cli.options import ATTEMPT_ID, TASK_ID, LedgerConfig, run_async, signing_options

_VERDICTS = {
    "upheld": "challenge upheld, the attempt is void",
    "rejected": "challenge rejected, the attempt is right and the bond is lost",
    "no_quorum": "no quorum, half of the bond is lost",
    "moot": "moot, the attempt was proven wrong meanwhile",
}


@click.command()
@click.argument("task_id", metavar="TASK", type=TASK_ID)
@click.argument("attempt_id", metavar="ATTEMPT", type=ATTEMPT_ID)
@click.option("--wait", is_flag=True, help="Until the verdict.")
@signing_options
def command(task_id: int, attempt_id: int, wait: bool, config: LedgerConfig, key: SigningKey, as_json: bool) -> None:
    """Have all validators recompute an open attempt and vote on it; training goes on meanwhile.

    `optfl task show` lists the attempts. The task's bond is lost if they find the attempt right.
    """
    height, verdict = run_async(_challenge(config, key, task_id, attempt_id, wait))
    if as_json:
        print_json({"task": task_id, "attempt": attempt_id, "height": height, **verdict})
    elif verdict:
        agreed = f"{verdict['agreed']} of {verdict['voters']} validators agreed"
        meaning = _VERDICTS.get(verdict["verdict"], verdict["verdict"])
        click.echo(f"attempt {attempt_id}, at height {height}: {meaning}; {agreed}")
    else:
        click.echo(f"attempt {attempt_id} is challenged, in block {height}: `optfl query challenges {task_id}`")


async def _challenge(
    config: LedgerConfig, key: SigningKey, task_id: int, attempt_id: int, wait: bool
) -> tuple[int, dict[str, str]]:
    """The height of the challenge, or of its verdict and what that is."""
    async with await CometLedger.connect(config.node, key) as ledger:
        view = await ledger.get_task(task_id)
        if view is None:
            raise UserError(f"no task {task_id}; `optfl task list` shows those that exist")
        if not any(attempt.attempt_id == attempt_id for attempt in view.attempts):
            if 0 < attempt_id < view.task.next_attempt_id:
                raise UserError(
                    f"attempt {attempt_id} of task {task_id} is over: only an open one can be challenged, "
                    f"and `optfl task show {task_id}` lists them"
                )
            raise UserError(f"task {task_id} has no attempt {attempt_id}; `optfl task show {task_id}` lists them")
        challenge = transaction_pb2.OpenChallenge(task_id=task_id, attempt_id=attempt_id)
        result = await ledger.submit(transaction_pb2.Body(open_challenge=challenge))
        if not result.accepted:
            raise UserError(f"refused with code {result.code}: {result.log}")
        if not wait:
            return result.height, {}
        # From the events: the record goes in the block of the verdict, if the attempt settles there.
        decided = {"task": str(task_id), "attempt": str(attempt_id)}
        height = result.height
        while True:
            for kind, attributes in await ledger.gateway.get_block_end_events(height):
                if kind == "challenge_decided" and decided.items() <= attributes.items():
                    return height, {name: attributes[name] for name in ("verdict", "agreed", "voters")}
            height += 1
            await ledger.wait_for_block(height - 1)
