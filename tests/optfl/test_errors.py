"""Rejection codes are for good, and every one of them is provoked by a test through a real block."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from optfl import errors
from optfl.errors import REJECTIONS, Rejection

TESTS = Path(__file__).parents[1]

# A code is never reused or changed: wallets and roles depend on it. New ones are added at the end of their range.
PERMANENT_CODES = {
    1: "MalformedTransaction",
    2: "NonCanonicalEncoding",
    3: "TransactionTooLarge",
    4: "WrongChain",
    5: "BadSignature",
    6: "UnknownKind",
    7: "WrongSequence",
    8: "ExpiredTransaction",
    9: "FeeTooLow",
    10: "UnknownAccount",
    11: "CannotPayFee",
    12: "ExpiryTooFar",
    13: "MisplacedReveal",
    20: "InvalidField",
    21: "InsufficientBalance",
    22: "AlreadyRegistered",
    23: "NotRegistered",
    24: "StakeTooLow",
    25: "ConsensusKeyTaken",
    26: "NoProofOfPossession",
    27: "ExcludedAccount",
    28: "TooManyUnbondings",
    29: "TooFewValidators",
    30: "NotExcluded",
    31: "ExclusionNotOver",
    32: "BeaconPending",
    40: "UnknownTask",
    41: "WrongTaskStatus",
    42: "NotRequester",
    43: "InvalidTaskParameters",
    44: "InvalidRule",
    45: "ProofTooLarge",
    46: "UnknownParticipant",
    47: "TooFewParticipants",
    48: "AlreadyJoined",
    49: "NotInvited",
    50: "TaskFull",
    60: "UnknownRound",
    61: "WrongRoundStatus",
    62: "StaleBase",
    63: "NotSelected",
    64: "AlreadyCommitted",
    65: "InvalidWeight",
    66: "BadCertificate",
    67: "RetentionTooShort",
    68: "NotYourTurn",
    69: "WrongMode",
    70: "BadBallots",
    71: "BadAudit",
    72: "AlreadyAnswered",
    73: "AlreadyAnnounced",
    74: "TooManyAnnouncements",
    75: "CopiedUpdate",
    76: "BadReduction",
    77: "BadWatch",
    80: "UnknownAttempt",
    81: "NotConvictable",
    82: "MalformedProof",
    83: "TooManyProofs",
    84: "NotProvable",
    85: "AlreadyChallenged",
    86: "WindowOver",
    87: "UnknownChallenge",
    88: "NotVoter",
    89: "AlreadyVoted",
    90: "WrongVotePhase",
    91: "BadReveal",
    92: "TooManyChallengers",
    93: "UnknownDemand",
    94: "AlreadyDemanded",
    95: "BadDemand",
    96: "NotEquivocation",
    97: "AlreadyPunished",
}


def test_codes_are_permanent() -> None:
    assert {code: rejection.__name__ for code, rejection in REJECTIONS.items()} == PERMANENT_CODES


def test_codes_leave_success_and_the_shell_their_own() -> None:
    """0 is success, and from 101 on are the ABCI shell's."""
    assert all(0 < code < 100 for code in REJECTIONS)


def test_a_code_cannot_be_taken_twice() -> None:
    with pytest.raises(TypeError, match="taken by BadSignature"):
        type("Another", (Rejection,), {"code": errors.BadSignature.code})


def test_every_rejection_says_what_it_is() -> None:
    assert all(rejection.__doc__ for rejection in REJECTIONS.values())
    assert errors.BadSignature("sign it").message == str(errors.BadSignature("sign it")) == "sign it"


def test_every_rejection_is_provoked_through_a_block() -> None:
    """`LedgerHarness.reject…(errors.X, …)` applies a block, asserts the code, and compares every store."""
    provoked = set()
    for path in sorted((TESTS / "abci_app").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            first = node.args[0]
            if node.func.attr in ("reject", "reject_bytes") and isinstance(first, ast.Attribute):
                provoked.add(first.attr)
    assert provoked == set(PERMANENT_CODES.values())
