"""RFC 6962 trees: against its published vectors, against its recursive definition, and against forged paths."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optfl.merkle import (
    MerkleError,
    MerkleTree,
    compute_path,
    compute_root,
    compute_root_from_path,
    compute_root_from_range,
    compute_simple_map_root,
    encode_uvarint,
    hash_leaf,
    hash_leaves,
    hash_node,
    simple_map_leaf,
)
from support import oracle

SIZES = range(1, 71)


@given(data=st.binary(max_size=100), size=st.integers(1, 40))
def test_leaves_are_hashed_as_each_alone(data: bytes, size: int) -> None:
    assert hash_leaves(data, size) == [hash_leaf(data[i : i + size]) for i in range(0, len(data), size)]


# The reference tree of Certificate Transparency (google/certificate-transparency, merkle_tree_test.cc).
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
CT_PATHS = {
    (2, 0): ["96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"],
    (3, 2): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (5, 1): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
    (8, 5): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
}

# The simple Merkle map of Tendermint and its heirs (cosmos-sdk, store/internal/maps, TestMerkleMap).
SIMPLE_MAP_ROOTS = [
    ({}, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ({b"key1": b"value1"}, "a44d3cc7daba1a4600b00a2434b30f8b970652169810d6dfa9fb1793a2189324"),
    ({b"key1": b"value2"}, "0638e99b3445caec9d95c05e1a3fc1487b4ddec6a952ff337080360b0dcc078c"),
    ({b"key2": b"value2", b"key1": b"value1"}, "8fd19b19e7bb3f2b3ee0574027d8a5a4cec370464ea2db2fbfa5c7d35bb0cff3"),
    (
        {b"key1": b"value1", b"key3": b"value3", b"key2": b"value2"},
        "1dd674ec6782a0d586a903c9c63326a41cbe56b3bba33ed6ff5b527af6efb3dc",
    ),
]


def make_leaves(size: int) -> list[bytes]:
    return [b"leaf %d" % i for i in range(size)]


def make_hashes(size: int) -> list[bytes]:
    return [hash_leaf(leaf) for leaf in make_leaves(size)]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_certificate_transparency_s(size: int) -> None:
    assert compute_root([hash_leaf(leaf) for leaf in CT_LEAVES[:size]]).hex() == CT_ROOTS[size]


@pytest.mark.parametrize(("size", "index"), CT_PATHS)
def test_paths_are_certificate_transparency_s(size: int, index: int) -> None:
    path = compute_path([hash_leaf(leaf) for leaf in CT_LEAVES[:size]], index)
    assert [aunt.hex() for aunt in path] == CT_PATHS[size, index]


@pytest.mark.parametrize("size", SIZES)
def test_every_path_is_the_definition_s_and_leads_to_the_root(size: int) -> None:
    leaves = make_leaves(size)
    tree = MerkleTree(make_hashes(size))
    assert tree.root == compute_root(make_hashes(size)) == oracle.compute_root(leaves)
    for index, leaf in enumerate(leaves):
        path = tree.path(index)
        assert path == compute_path(make_hashes(size), index) == oracle.compute_path(leaves, index)
        assert compute_root_from_path(hash_leaf(leaf), index, size, path) == tree.root


@pytest.mark.parametrize("size", SIZES)
def test_no_tampered_path_leads_to_the_root(size: int) -> None:
    """A wrong leaf, a flipped bit in any aunt, two aunts swapped, another index: never the root."""
    tree = MerkleTree(make_hashes(size))
    for index in {0, size // 2, size - 1}:
        leaf_hash, path = make_hashes(size)[index], tree.path(index)
        assert compute_root_from_path(hash_leaf(b"another"), index, size, path) != tree.root
        for i, aunt in enumerate(path):
            tampered = [*path[:i], bytes([aunt[0] ^ 1]) + aunt[1:], *path[i + 1 :]]
            assert compute_root_from_path(leaf_hash, index, size, tampered) != tree.root
            if i:
                swapped = [*path[: i - 1], path[i], path[i - 1], *path[i + 1 :]]
                assert compute_root_from_path(leaf_hash, index, size, swapped) != tree.root
        for other in range(size):
            if other != index:
                assert not leads_to_root(tree, leaf_hash, other, size, path)


def leads_to_root(tree: MerkleTree, leaf_hash: bytes, index: int, size: int, path: list[bytes]) -> bool:
    try:
        return compute_root_from_path(leaf_hash, index, size, path) == tree.root
    except MerkleError:
        return False


@pytest.mark.parametrize("size", SIZES)
def test_a_path_of_another_length_is_refused(size: int) -> None:
    tree = MerkleTree(make_hashes(size))
    for index in range(size):
        leaf_hash, path = make_hashes(size)[index], tree.path(index)
        with pytest.raises(MerkleError, match="lead to the root"):
            compute_root_from_path(leaf_hash, index, size, [*path, hash_leaf(b"one more")])
        if path:
            with pytest.raises(MerkleError, match="short of the root"):
                compute_root_from_path(leaf_hash, index, size, path[:-1])


@pytest.mark.parametrize("size", range(1, 33))
def test_another_tree_size_is_refused_unless_the_leaf_s_path_has_the_same_shape_in_it(size: int) -> None:
    """Sizes that do not move the leaf give the same computation: why the size is the task's, never the proof's (A3)."""
    tree = MerkleTree(make_hashes(size))
    for index in range(size):
        leaf_hash, path = make_hashes(size)[index], tree.path(index)
        for other in range(70):
            same_shape = other > index and path_shape(other, index) == path_shape(size, index)
            assert leads_to_root(tree, leaf_hash, index, other, path) == same_shape


def path_shape(size: int, index: int) -> list[str]:
    """Which side each sibling is on, by the recursive definition."""
    if size == 1:
        return []
    split = 1 << (size - 1).bit_length() - 1
    if index < split:
        return [*path_shape(split, index), "right"]
    return [*path_shape(size - split, index - split), "left"]


def test_a_whole_subtree_s_root_does_not_pass_for_a_leaf() -> None:
    """Leaves and nodes are hashed in different domains: a node's preimage is not a leaf with the node's hash."""
    left, right = make_hashes(2)
    assert hash_leaf(left + right) != hash_node(left, right)
    assert hash_node(left, right) == hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 4), (4, 4), (5, 4)])
def test_a_leaf_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(MerkleError, match=f"leaf {index} of a tree with {size} leaves"):
        compute_path(make_hashes(size), index)
    with pytest.raises(MerkleError, match=f"leaf {index} of a tree with {size} leaves"):
        compute_root_from_path(hash_leaf(b""), index, size, [])


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(MerkleError, match="32 bytes"):
        compute_root([b"data that nobody hashed"])
    with pytest.raises(MerkleError, match="32 bytes"):
        compute_root_from_path(b"short", 0, 1, [])
    with pytest.raises(MerkleError, match="32 bytes"):
        compute_root_from_path(hash_leaf(b""), 0, 2, [b"\x00" * 33])


def test_the_tree_does_not_follow_changes_of_the_list_it_was_built_from() -> None:
    hashes = make_hashes(3)
    tree = MerkleTree(hashes)
    hashes[0] = hash_leaf(b"another")
    assert tree.size == 3
    assert tree.path(1)[0] == make_hashes(3)[0]


@pytest.mark.parametrize(("items", "root"), SIMPLE_MAP_ROOTS)
def test_simple_map_roots_are_tendermint_s(items: dict[bytes, bytes], root: str) -> None:
    assert compute_simple_map_root(items).hex() == root


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=40), max_size=20))
def test_simple_map_roots_are_the_definition_s(items: dict[bytes, bytes]) -> None:
    assert compute_simple_map_root(items) == oracle.compute_simple_map_root(items)


def test_a_long_key_has_its_length_in_front_as_a_varint() -> None:
    key = b"k" * 300
    expected = hashlib.sha256(b"\x00\xac\x02" + key + b"\x20" + hashlib.sha256(b"v").digest()).digest()
    assert simple_map_leaf(key, b"v") == expected


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")]
)
def test_uvarint(value: int, encoded: str) -> None:
    assert encode_uvarint(value).hex() == encoded


def test_uvarint_of_a_negative_number_is_refused() -> None:
    with pytest.raises(MerkleError, match="not negative"):
        encode_uvarint(-1)


@given(st.integers(1, 70), st.data())
def test_a_range_of_leaves_leads_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [hash_leaf(bytes([i])) for i in range(size)]
    start = data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    tree = MerkleTree(leaves)
    path = tree.range_path(start, stop)
    assert compute_root_from_range(leaves[start:stop], start, size, path) == tree.root
    assert len(path) <= 2 * size.bit_length()
    if start + 1 == stop:
        assert sorted(path) == sorted(tree.path(start)), "of one leaf, the same hashes in another order"


@given(st.integers(2, 40), st.data())
def test_A3_a_range_elsewhere_or_otherwise_does_not(size: int, data: st.DataObject) -> None:
    leaves = [hash_leaf(bytes([i])) for i in range(size)]
    start = data.draw(st.integers(0, size - 2))
    stop = data.draw(st.integers(start + 1, size - 1))
    tree = MerkleTree(leaves)
    path = tree.range_path(start, stop)

    def leads(given_leaves: list[bytes], at: int, path: list[bytes]) -> bool:
        try:
            return compute_root_from_range(given_leaves, at, size, path) == tree.root
        except MerkleError:
            return False

    assert leads(leaves[start:stop], start, path)
    assert not leads(leaves[start:stop], start + 1, path)
    assert not leads(leaves[start + 1 : stop + 1], start, path)
    assert not leads(leaves[start:stop], start, [*path, bytes(32)])
    assert not leads(leaves[start:stop], start, path[:-1])
    assert not leads(leaves[start:stop], start, [path[0][:31], *path[1:]])
    assert not leads([], start, path)


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 2), (3, 2), (0, 6), (5, 6)])
def test_a_range_lies_within_the_tree(start: int, stop: int) -> None:
    tree = MerkleTree([hash_leaf(bytes([i])) for i in range(5)])
    with pytest.raises(MerkleError):
        tree.range_path(start, stop)
