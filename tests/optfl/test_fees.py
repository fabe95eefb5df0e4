"""What a transaction costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.fees import compute_fee
from optfl.wire import state_pb2

PARAMS = state_pb2.Params(min_fee=7, fee_per_kilobyte=3)


@pytest.mark.parametrize(
    ("size_bytes", "fee"), [(0, 7), (1, 10), (1024, 10), (1025, 13), (2048, 13), (1 << 20, 7 + 3 * 1024)]
)
def test_every_kilobyte_begun_counts(size_bytes: int, fee: int) -> None:
    assert compute_fee(PARAMS, size_bytes) == fee


@given(st.integers(0, 1 << 21))
def test_more_bytes_never_cost_less(size_bytes: int) -> None:
    assert compute_fee(PARAMS, size_bytes) <= compute_fee(PARAMS, size_bytes + 1)


def test_extreme_parameters_do_not_overflow() -> None:
    params = state_pb2.Params(min_fee=2**64 - 1, fee_per_kilobyte=2**64 - 1)
    assert compute_fee(params, 1 << 20) == (2**64 - 1) * 1025
