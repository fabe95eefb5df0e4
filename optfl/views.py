"""A task's view in parts: who has some of them is sent the others alone.

A view has the commitments and inputs of every live round, and from one block to the next most of it stays as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from optfl.wire import state_pb2

DIGEST_BYTES = 32


class UnknownPart(ValueError):
    """An answer leaves out a part that the asker does not have."""


def build_parts(view: state_pb2.TaskView, known: Collection[bytes]) -> state_pb2.TaskParts:
    """The view's parts, those with a digest in `known` as this alone.

    A part each are the task, a round, the commitments of one, an attempt; the last is the rest.
    """
    answer = state_pb2.TaskParts(height=view.height)
    rest = state_pb2.TaskView()
    rest.CopyFrom(view)
    for field in ("height", "task", "rounds", "commitments", "attempts"):
        rest.ClearField(field)
    for part in (
        state_pb2.TaskView(task=view.task),
        *(state_pb2.TaskView(rounds=[current]) for current in view.rounds),
        *(state_pb2.TaskView(commitments=[listed]) for listed in view.commitments),
        *(state_pb2.TaskView(attempts=[attempt]) for attempt in view.attempts),
        rest,
    ):
        content = part.SerializeToString(deterministic=True)
        digest = hashlib.sha256(content).digest()
        if digest in known:
            answer.parts.add(digest=digest)
        else:
            answer.parts.add(content=content)
    return answer


def join_parts(
    answer: state_pb2.TaskParts, known: Mapping[bytes, bytes]
) -> tuple[state_pb2.TaskView, dict[bytes, bytes]]:
    """The view, and its parts by digest, for the next time. Raises UnknownPart, and DecodeError for what is no view."""
    parts: dict[bytes, bytes] = {}
    view = state_pb2.TaskView(height=answer.height)
    for part in answer.parts:
        digest = hashlib.sha256(part.content).digest() if part.HasField("content") else part.digest
        content = part.content if part.HasField("content") else known.get(digest)
        if content is None:
            raise UnknownPart(f"the answer leaves out a part with the digest {digest.hex()}, which was not named")
        parts[digest] = content
        view.MergeFromString(content)
    return view, parts
