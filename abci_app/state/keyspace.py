"""How the stores' keys are made. Big-endian, so that keys sort as their numbers do."""

from __future__ import annotations


def task_key(task_id: int) -> bytes:
    return task_id.to_bytes(8, "big")


def round_key(task_id: int, round_number: int) -> bytes:
    return task_key(task_id) + round_number.to_bytes(4, "big")


def attempt_key(task_id: int, attempt_id: int) -> bytes:
    return task_key(task_id) + attempt_id.to_bytes(4, "big")


def commitment_prefix(task_id: int, round_number: int, parent_attempt: int) -> bytes:
    return round_key(task_id, round_number) + parent_attempt.to_bytes(4, "big")


def commitment_key(task_id: int, round_number: int, parent_attempt: int, index: int) -> bytes:
    return commitment_prefix(task_id, round_number, parent_attempt) + index.to_bytes(4, "big")


def seen_update_key(task_id: int, round_number: int, root: bytes) -> bytes:
    return round_key(task_id, round_number) + root


def stake_key(role: int, address: bytes) -> bytes:
    return bytes([role]) + address


def unbonding_key(release_height: int, role: int, address: bytes) -> bytes:
    return release_height.to_bytes(8, "big") + stake_key(role, address)


def demand_prefix(task_id: int, round_number: int) -> bytes:
    return round_key(task_id, round_number)


def demand_key(task_id: int, round_number: int, parent_attempt: int, attempt_id: int, turn: int, blob: int) -> bytes:
    numbers = (parent_attempt, attempt_id, turn, blob)
    return demand_prefix(task_id, round_number) + b"".join(n.to_bytes(4, "big") for n in numbers)


def announcement_key(task_id: int, attempt_id: int, prover: bytes) -> bytes:
    return attempt_key(task_id, attempt_id) + prover


def watch_key(task_id: int, attempt_id: int, operator: bytes) -> bytes:
    return attempt_key(task_id, attempt_id) + operator


def audit_key(task_id: int, attempt_id: int, replica: int) -> bytes:
    return attempt_key(task_id, attempt_id) + replica.to_bytes(2, "big")
