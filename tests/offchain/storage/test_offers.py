"""What an account serves itself, from a bounded memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain.storage import protocol
from offchain.storage.offers import Offers
from offchain.storage.protocol import GetRequest, Refusal
from optfl.vectors import ChunkedVector, verify_opening
from support.storage import TASK_ID, make_model, make_update

UPDATES = [make_update(seed) for seed in range(4)]
SIZE_BYTES = len(UPDATES[0].data)


def get(offers: Offers, vector: ChunkedVector, task_id: int = TASK_ID) -> bytes:
    return protocol.decode_vector_reply(offers.handle_get(protocol.encode_get(GetRequest(task_id, vector.id))))


def test_what_is_offered_is_served_whole_and_by_chunk_for_its_task_only() -> None:
    offers = Offers()
    offers.add(TASK_ID, UPDATES[0])
    assert get(offers, UPDATES[0]) == UPDATES[0].data
    opening = protocol.decode_opening_reply(
        offers.handle_get(protocol.encode_get(GetRequest(TASK_ID, UPDATES[0].id, 2)))
    )
    verify_opening(UPDATES[0].shape, UPDATES[0].root, 2, opening)
    for vector, task_id in ((UPDATES[1], TASK_ID), (UPDATES[0], TASK_ID + 1)):
        with pytest.raises(Refusal, match=r"^not-stored: .* ask another one"):
            get(offers, vector, task_id)


def test_a_chunk_beyond_the_last_is_refused() -> None:
    offers = Offers()
    offers.add(TASK_ID, UPDATES[0])
    with pytest.raises(Refusal, match=r"^no-such-chunk: "):
        protocol.decode_opening_reply(offers.handle_get(protocol.encode_get(GetRequest(TASK_ID, UPDATES[0].id, 99))))


def test_memory_is_bounded_and_the_oldest_offer_goes_first() -> None:
    """An offer that is made again is the newest."""
    offers = Offers(max_bytes=2 * SIZE_BYTES)
    for vector in (UPDATES[0], UPDATES[1], UPDATES[0], UPDATES[2]):
        offers.add(TASK_ID, vector)
    assert get(offers, UPDATES[0]) == UPDATES[0].data
    assert get(offers, UPDATES[2]) == UPDATES[2].data
    with pytest.raises(Refusal, match="not-stored"):
        get(offers, UPDATES[1])


def test_a_large_offer_takes_the_place_of_several() -> None:
    model = make_model()
    offers = Offers(max_bytes=len(model.data))
    offers.add(TASK_ID, UPDATES[0])
    offers.add(TASK_ID, UPDATES[1])
    offers.add(TASK_ID, model)
    assert get(offers, model) == model.data
    for update in UPDATES[:2]:
        with pytest.raises(Refusal):
            get(offers, update)


@given(message=st.binary(max_size=2000))
def test_any_bytes_get_a_refusal(message: bytes) -> None:
    with pytest.raises(Refusal):
        protocol.decode_vector_reply(Offers().handle_get(message))
