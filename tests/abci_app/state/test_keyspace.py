"""Keys sort as their numbers do, and no key is another's beginning where a prefix is asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from abci_app.state.keyspace import (
    attempt_key,
    commitment_key,
    commitment_prefix,
    round_key,
    stake_key,
    task_key,
    unbonding_key,
)

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@given(st.tuples(U64, U32, U32, U32), st.tuples(U64, U32, U32, U32))
def test_keys_sort_as_numbers_do(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> None:
    assert (commitment_key(*one) < commitment_key(*other)) == (one < other)
    assert (attempt_key(*one[:2]) < attempt_key(*other[:2])) == (one[:2] < other[:2])


@given(U64, U32, U32, U32)
def test_prefixes_are_exact(task_id: int, number: int, parent: int, index: int) -> None:
    key = commitment_key(task_id, number, parent, index)
    assert key.startswith(commitment_prefix(task_id, number, parent))
    assert commitment_prefix(task_id, number, parent).startswith(round_key(task_id, number))
    assert round_key(task_id, number).startswith(task_key(task_id))
    assert not key.startswith(task_key((task_id + 1) % 2**64))


def test_layout() -> None:
    """Of the state's keys: a light client's users build them."""
    address = bytes(range(20))
    assert task_key(1) == bytes(7) + b"\x01"
    assert round_key(1, 2) == attempt_key(1, 2) == bytes(7) + b"\x01" + bytes(3) + b"\x02"
    assert commitment_key(1, 2, 3, 4) == round_key(1, 2) + bytes(3) + b"\x03" + bytes(3) + b"\x04"
    assert stake_key(4, address) == b"\x04" + address
    assert unbonding_key(5, 4, address) == bytes(7) + b"\x05\x04" + address
