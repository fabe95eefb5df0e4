"""Why the ledger says no: one class and one permanent code for each reason.

A code is never reused or changed. The message is for people (ABCI `log`, which is not part of any hash) and says what
to do next; nothing of it reaches the state.
"""

from __future__ import annotations

from typing import ClassVar

REJECTIONS: dict[int, type[Rejection]] = {}
"""Every rejection by its code."""


class Rejection(Exception):
    """A transaction, or a part of it, that the rules do not allow: somebody else's mistake, never our own bug."""

    code: ClassVar[int]

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __init_subclass__(cls) -> None:
        if cls.code in REJECTIONS:
            raise TypeError(f"rejection code {cls.code} is taken by {REJECTIONS[cls.code].__name__}")
        REJECTIONS[cls.code] = cls


# 1..19: the envelope. Nothing can be charged for these.


class MalformedTransaction(Rejection):
    """The bytes are not a transaction."""

    code = 1


class NonCanonicalEncoding(Rejection):
    """The body does not re-encode to itself."""

    code = 2


class TransactionTooLarge(Rejection):
    """More bytes than a transaction may have."""

    code = 3


class WrongChain(Rejection):
    """Signed for another chain."""

    code = 4


class BadSignature(Rejection):
    """Not signed by the key it names."""

    code = 5


class UnknownKind(Rejection):
    """The body holds no kind of transaction that this ledger knows."""

    code = 6


class WrongSequence(Rejection):
    """Not the sender's next sequence number: replayed, or out of order."""

    code = 7


class ExpiredTransaction(Rejection):
    """Its expiry height has passed."""

    code = 8


class FeeTooLow(Rejection):
    """Less than the ledger asks for a transaction of its size."""

    code = 9


class UnknownAccount(Rejection):
    """No account has this address yet."""

    code = 10


class CannotPayFee(Rejection):
    """The sender's balance does not cover the fee."""

    code = 11


class ExpiryTooFar(Rejection):
    """The expiry height is further ahead than the ledger allows."""

    code = 12


class MisplacedReveal(Rejection):
    """A reveal that is not the proposer's next one, or not the first transaction of its block."""

    code = 13


# 20..39: accounts, stakes, roles.


class InvalidField(Rejection):
    """A field is missing, too long or out of its range."""

    code = 20


class InsufficientBalance(Rejection):
    """The sender does not have the amount."""

    code = 21


class AlreadyRegistered(Rejection):
    """The account has this role already."""

    code = 22


class NotRegistered(Rejection):
    """The account does not have this role."""

    code = 23


class StakeTooLow(Rejection):
    """Less than the role's minimum stake."""

    code = 24


class ConsensusKeyTaken(Rejection):
    """Another validator has, or lately had, this consensus key."""

    code = 25


class NoProofOfPossession(Rejection):
    """Not signed by the consensus key itself."""

    code = 26


class ExcludedAccount(Rejection):
    """The account is excluded from this role."""

    code = 27


class TooManyUnbondings(Rejection):
    """The stake has as many unbondings under way as it may."""

    code = 28


class TooFewValidators(Rejection):
    """The validator set would get smaller than its minimum."""

    code = 29


class NotExcluded(Rejection):
    """The account is not excluded for a time: there is nothing to come back from."""

    code = 30


class ExclusionNotOver(Rejection):
    """The time of the exclusion is not over."""

    code = 31


class BeaconPending(Rejection):
    """A new anchor of the hash chain is not in force yet."""

    code = 32


# 40..59: tasks.


class UnknownTask(Rejection):
    """No task has this id."""

    code = 40


class WrongTaskStatus(Rejection):
    """The task is not in the status that this needs."""

    code = 41


class NotRequester(Rejection):
    """Only the task's requester may do this."""

    code = 42


class InvalidTaskParameters(Rejection):
    """The task's parameters contradict each other or a limit."""

    code = 43


class InvalidRule(Rejection):
    """No aggregation rule of this name and these parameters."""

    code = 44


class ProofTooLarge(Rejection):
    """A fraud proof of such a task could not be checked on the ledger."""

    code = 45


class UnknownParticipant(Rejection):
    """A listed account is not registered in its role."""

    code = 46


class TooFewParticipants(Rejection):
    """Not enough registered participants to start."""

    code = 47


class AlreadyJoined(Rejection):
    """The aggregator has joined the task."""

    code = 48


class NotInvited(Rejection):
    """The account is not among the task's aggregators."""

    code = 49


class TaskFull(Rejection):
    """As many aggregators as a task may have have joined it."""

    code = 50


# 60..79: rounds.


class UnknownRound(Rejection):
    """The task has no such round now."""

    code = 60


class WrongRoundStatus(Rejection):
    """The round is not in the status that this needs."""

    code = 61


class StaleBase(Rejection):
    """Made from a model that is not this round's base."""

    code = 62


class NotSelected(Rejection):
    """The client is not selected for this round."""

    code = 63


class AlreadyCommitted(Rejection):
    """The client has committed its update of this round."""

    code = 64


class InvalidWeight(Rejection):
    """The weight is not in 1..max_weight of the task."""

    code = 65


class BadCertificate(Rejection):
    """No quorum of the task's replicas certifies this blob."""

    code = 66


class RetentionTooShort(Rejection):
    """The replicas may forget the blob while it is still evidence."""

    code = 67


class NotYourTurn(Rejection):
    """It is another aggregator's turn."""

    code = 68


class WrongMode(Rejection):
    """The task's mode makes models in another way."""

    code = 69


class BadBallots(Rejection):
    """The signatures do not show that enough members computed this model."""

    code = 70


class BadAudit(Rejection):
    """The opening is not the chunk that the beacon drew."""

    code = 71


class AlreadyAnswered(Rejection):
    """The audit or demand is answered, or the watch attested or opened."""

    code = 72


class AlreadyAnnounced(Rejection):
    """The account has announced a proof of this attempt."""

    code = 73


class TooManyAnnouncements(Rejection):
    """As many accounts as may have announced proofs of the attempt."""

    code = 74


class CopiedUpdate(Rejection):
    """The update is another client's, of another round."""

    code = 75


class BadReduction(Rejection):
    """A rule with totals needs their trace and what they decide; other rules have neither."""

    code = 76


class BadWatch(Rejection):
    """Nobody is paid for watching this, or what was drawn is not shown."""

    code = 77


# 80..99: disputes.


class UnknownAttempt(Rejection):
    """The task has no such attempt on record."""

    code = 80


class NotConvictable(Rejection):
    """Nothing can come of a proof: a dropped round, a convicted attempt, or one past its evidence height."""

    code = 81


class MalformedProof(Rejection):
    """The proof does not open the vectors that the attempt names."""

    code = 82


class TooManyProofs(Rejection):
    """The block has as many fraud proofs as it may."""

    code = 83


class NotProvable(Rejection):
    """Attempts of a float task are judged by votes: no re-execution is exact."""

    code = 84


class AlreadyChallenged(Rejection):
    """The attempt was voted on, or the sender has joined its challenge."""

    code = 85


class WindowOver(Rejection):
    """The attempt's challenge window is over."""

    code = 86


class UnknownChallenge(Rejection):
    """The attempt is not challenged."""

    code = 87


class NotVoter(Rejection):
    """The account was no validator when this began."""

    code = 88


class AlreadyVoted(Rejection):
    """The vote is committed or revealed and cannot be replaced."""

    code = 89


class WrongVotePhase(Rejection):
    """The challenge is not in the phase that this needs."""

    code = 90


class BadReveal(Rejection):
    """The vote is not what was committed to, or not of the kind that the task takes."""

    code = 91


class TooManyChallengers(Rejection):
    """The challenge has as many challengers as it may."""

    code = 92


class UnknownDemand(Rejection):
    """Nobody demands this blob."""

    code = 93


class AlreadyDemanded(Rejection):
    """The blob was demanded in this turn or of this attempt."""

    code = 94


class BadDemand(Rejection):
    """These blobs cannot be demanded now, or not by this account."""

    code = 95


class NotEquivocation(Rejection):
    """The two ballots are not two contradicting statements of one member."""

    code = 96


class AlreadyPunished(Rejection):
    """The offence is punished."""

    code = 97
