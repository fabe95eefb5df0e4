from optfl.wire import receipt_pb2 as _receipt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_VALIDATOR: _ClassVar[Role]
    ROLE_AGGREGATOR: _ClassVar[Role]
    ROLE_REPLICA: _ClassVar[Role]
    ROLE_CLIENT: _ClassVar[Role]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_OPTIMISTIC: _ClassVar[Mode]
    MODE_QUORUM: _ClassVar[Mode]
    MODE_PBFT: _ClassVar[Mode]

class Arithmetic(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ARITHMETIC_EXACT: _ClassVar[Arithmetic]
    ARITHMETIC_FLOAT: _ClassVar[Arithmetic]

class Rotation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROTATION_EVEN: _ClassVar[Rotation]
    ROTATION_LITERAL: _ClassVar[Rotation]

class BallotKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BALLOT_KIND_UNSPECIFIED: _ClassVar[BallotKind]
    BALLOT_KIND_AGGREGATE: _ClassVar[BallotKind]
    BALLOT_KIND_COMMITMENT: _ClassVar[BallotKind]

class AbstainReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ABSTAIN_REASON_UNSPECIFIED: _ClassVar[AbstainReason]
    ABSTAIN_REASON_UNAVAILABLE: _ClassVar[AbstainReason]
    ABSTAIN_REASON_UNSUPPORTED: _ClassVar[AbstainReason]
ROLE_UNSPECIFIED: Role
ROLE_VALIDATOR: Role
ROLE_AGGREGATOR: Role
ROLE_REPLICA: Role
ROLE_CLIENT: Role
MODE_OPTIMISTIC: Mode
MODE_QUORUM: Mode
MODE_PBFT: Mode
ARITHMETIC_EXACT: Arithmetic
ARITHMETIC_FLOAT: Arithmetic
ROTATION_EVEN: Rotation
ROTATION_LITERAL: Rotation
BALLOT_KIND_UNSPECIFIED: BallotKind
BALLOT_KIND_AGGREGATE: BallotKind
BALLOT_KIND_COMMITMENT: BallotKind
ABSTAIN_REASON_UNSPECIFIED: AbstainReason
ABSTAIN_REASON_UNAVAILABLE: AbstainReason
ABSTAIN_REASON_UNSUPPORTED: AbstainReason

class Transaction(_message.Message):
    __slots__ = ("body", "public_key", "signature", "beacon_reveal")
    BODY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BEACON_REVEAL_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    public_key: bytes
    signature: bytes
    beacon_reveal: BeaconReveal
    def __init__(self, body: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ..., beacon_reveal: _Optional[_Union[BeaconReveal, _Mapping]] = ...) -> None: ...

class BeaconReveal(_message.Message):
    __slots__ = ("operator", "preimage")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    PREIMAGE_FIELD_NUMBER: _ClassVar[int]
    operator: bytes
    preimage: bytes
    def __init__(self, operator: _Optional[bytes] = ..., preimage: _Optional[bytes] = ...) -> None: ...

class Body(_message.Message):
    __slots__ = ("chain_id", "sequence", "fee", "expiry_height", "transfer", "register_validator", "register_role", "add_stake", "unbond", "readmit", "register_beacon", "create_task", "start_task", "cancel_task", "join_task", "commit_update", "submit_aggregate", "submit_certified_aggregate", "answer_audit", "submit_fraud_proof", "open_challenge", "commit_vote", "reveal_vote", "submit_equivocation", "demand_blob", "answer_demand", "announce_proof", "attest_watch", "open_watch")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    REGISTER_VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    REGISTER_ROLE_FIELD_NUMBER: _ClassVar[int]
    ADD_STAKE_FIELD_NUMBER: _ClassVar[int]
    UNBOND_FIELD_NUMBER: _ClassVar[int]
    READMIT_FIELD_NUMBER: _ClassVar[int]
    REGISTER_BEACON_FIELD_NUMBER: _ClassVar[int]
    CREATE_TASK_FIELD_NUMBER: _ClassVar[int]
    START_TASK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TASK_FIELD_NUMBER: _ClassVar[int]
    JOIN_TASK_FIELD_NUMBER: _ClassVar[int]
    COMMIT_UPDATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_CERTIFIED_AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_AUDIT_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FRAUD_PROOF_FIELD_NUMBER: _ClassVar[int]
    OPEN_CHALLENGE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_VOTE_FIELD_NUMBER: _ClassVar[int]
    REVEAL_VOTE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_EQUIVOCATION_FIELD_NUMBER: _ClassVar[int]
    DEMAND_BLOB_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DEMAND_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCE_PROOF_FIELD_NUMBER: _ClassVar[int]
    ATTEST_WATCH_FIELD_NUMBER: _ClassVar[int]
    OPEN_WATCH_FIELD_NUMBER: _ClassVar[int]
    chain_id: str
    sequence: int
    fee: int
    expiry_height: int
    transfer: Transfer
    register_validator: RegisterValidator
    register_role: RegisterRole
    add_stake: AddStake
    unbond: Unbond
    readmit: Readmit
    register_beacon: RegisterBeacon
    create_task: CreateTask
    start_task: StartTask
    cancel_task: CancelTask
    join_task: JoinTask
    commit_update: CommitUpdate
    submit_aggregate: SubmitAggregate
    submit_certified_aggregate: SubmitCertifiedAggregate
    answer_audit: AnswerAudit
    submit_fraud_proof: SubmitFraudProof
    open_challenge: OpenChallenge
    commit_vote: CommitVote
    reveal_vote: RevealVote
    submit_equivocation: SubmitEquivocation
    demand_blob: DemandBlob
    answer_demand: AnswerDemand
    announce_proof: AnnounceProof
    attest_watch: AttestWatch
    open_watch: OpenWatch
    def __init__(self, chain_id: _Optional[str] = ..., sequence: _Optional[int] = ..., fee: _Optional[int] = ..., expiry_height: _Optional[int] = ..., transfer: _Optional[_Union[Transfer, _Mapping]] = ..., register_validator: _Optional[_Union[RegisterValidator, _Mapping]] = ..., register_role: _Optional[_Union[RegisterRole, _Mapping]] = ..., add_stake: _Optional[_Union[AddStake, _Mapping]] = ..., unbond: _Optional[_Union[Unbond, _Mapping]] = ..., readmit: _Optional[_Union[Readmit, _Mapping]] = ..., register_beacon: _Optional[_Union[RegisterBeacon, _Mapping]] = ..., create_task: _Optional[_Union[CreateTask, _Mapping]] = ..., start_task: _Optional[_Union[StartTask, _Mapping]] = ..., cancel_task: _Optional[_Union[CancelTask, _Mapping]] = ..., join_task: _Optional[_Union[JoinTask, _Mapping]] = ..., commit_update: _Optional[_Union[CommitUpdate, _Mapping]] = ..., submit_aggregate: _Optional[_Union[SubmitAggregate, _Mapping]] = ..., submit_certified_aggregate: _Optional[_Union[SubmitCertifiedAggregate, _Mapping]] = ..., answer_audit: _Optional[_Union[AnswerAudit, _Mapping]] = ..., submit_fraud_proof: _Optional[_Union[SubmitFraudProof, _Mapping]] = ..., open_challenge: _Optional[_Union[OpenChallenge, _Mapping]] = ..., commit_vote: _Optional[_Union[CommitVote, _Mapping]] = ..., reveal_vote: _Optional[_Union[RevealVote, _Mapping]] = ..., submit_equivocation: _Optional[_Union[SubmitEquivocation, _Mapping]] = ..., demand_blob: _Optional[_Union[DemandBlob, _Mapping]] = ..., answer_demand: _Optional[_Union[AnswerDemand, _Mapping]] = ..., announce_proof: _Optional[_Union[AnnounceProof, _Mapping]] = ..., attest_watch: _Optional[_Union[AttestWatch, _Mapping]] = ..., open_watch: _Optional[_Union[OpenWatch, _Mapping]] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("recipient", "amount")
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    recipient: bytes
    amount: int
    def __init__(self, recipient: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...

class RegisterValidator(_message.Message):
    __slots__ = ("consensus_key", "proof_of_possession", "stake")
    CONSENSUS_KEY_FIELD_NUMBER: _ClassVar[int]
    PROOF_OF_POSSESSION_FIELD_NUMBER: _ClassVar[int]
    STAKE_FIELD_NUMBER: _ClassVar[int]
    consensus_key: bytes
    proof_of_possession: bytes
    stake: int
    def __init__(self, consensus_key: _Optional[bytes] = ..., proof_of_possession: _Optional[bytes] = ..., stake: _Optional[int] = ...) -> None: ...

class RegisterRole(_message.Message):
    __slots__ = ("role", "stake")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STAKE_FIELD_NUMBER: _ClassVar[int]
    role: Role
    stake: int
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., stake: _Optional[int] = ...) -> None: ...

class AddStake(_message.Message):
    __slots__ = ("role", "amount")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    role: Role
    amount: int
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., amount: _Optional[int] = ...) -> None: ...

class Unbond(_message.Message):
    __slots__ = ("role", "amount")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    role: Role
    amount: int
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., amount: _Optional[int] = ...) -> None: ...

class Readmit(_message.Message):
    __slots__ = ("role",)
    ROLE_FIELD_NUMBER: _ClassVar[int]
    role: Role
    def __init__(self, role: _Optional[_Union[Role, str]] = ...) -> None: ...

class RegisterBeacon(_message.Message):
    __slots__ = ("anchor",)
    ANCHOR_FIELD_NUMBER: _ClassVar[int]
    anchor: bytes
    def __init__(self, anchor: _Optional[bytes] = ...) -> None: ...

class TaskParameters(_message.Message):
    __slots__ = ("name", "rule", "length", "chunk_values", "fraction_bits", "rounds", "clients_per_round", "min_updates", "max_weight", "training_blocks", "aggregation_blocks", "min_window_blocks", "window_factor_percent", "max_attempts", "pause_blocks", "bandwidth_bytes_per_second", "aggregator_reward", "client_reward", "validator_reward", "replica_reward", "aggregators", "clients", "replicas", "mode", "arithmetic", "rotation", "vote_epsilon", "vote_theta", "vote_commit_blocks", "vote_reveal_blocks", "demand_blocks", "min_safety_percent", "min_round_blocks", "challenge_bond", "demand_bond", "update_bits", "update_shift")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_VALUES_FIELD_NUMBER: _ClassVar[int]
    FRACTION_BITS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_PER_ROUND_FIELD_NUMBER: _ClassVar[int]
    MIN_UPDATES_FIELD_NUMBER: _ClassVar[int]
    MAX_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MIN_WINDOW_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FACTOR_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    BANDWIDTH_BYTES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_REWARD_FIELD_NUMBER: _ClassVar[int]
    CLIENT_REWARD_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_REWARD_FIELD_NUMBER: _ClassVar[int]
    REPLICA_REWARD_FIELD_NUMBER: _ClassVar[int]
    AGGREGATORS_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    ARITHMETIC_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    VOTE_EPSILON_FIELD_NUMBER: _ClassVar[int]
    VOTE_THETA_FIELD_NUMBER: _ClassVar[int]
    VOTE_COMMIT_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    VOTE_REVEAL_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    DEMAND_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MIN_SAFETY_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MIN_ROUND_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_BOND_FIELD_NUMBER: _ClassVar[int]
    DEMAND_BOND_FIELD_NUMBER: _ClassVar[int]
    UPDATE_BITS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_SHIFT_FIELD_NUMBER: _ClassVar[int]
    name: str
    rule: str
    length: int
    chunk_values: int
    fraction_bits: int
    rounds: int
    clients_per_round: int
    min_updates: int
    max_weight: int
    training_blocks: int
    aggregation_blocks: int
    min_window_blocks: int
    window_factor_percent: int
    max_attempts: int
    pause_blocks: int
    bandwidth_bytes_per_second: int
    aggregator_reward: int
    client_reward: int
    validator_reward: int
    replica_reward: int
    aggregators: _containers.RepeatedScalarFieldContainer[bytes]
    clients: _containers.RepeatedScalarFieldContainer[bytes]
    replicas: _containers.RepeatedScalarFieldContainer[bytes]
    mode: Mode
    arithmetic: Arithmetic
    rotation: Rotation
    vote_epsilon: int
    vote_theta: int
    vote_commit_blocks: int
    vote_reveal_blocks: int
    demand_blocks: int
    min_safety_percent: int
    min_round_blocks: int
    challenge_bond: int
    demand_bond: int
    update_bits: int
    update_shift: int
    def __init__(self, name: _Optional[str] = ..., rule: _Optional[str] = ..., length: _Optional[int] = ..., chunk_values: _Optional[int] = ..., fraction_bits: _Optional[int] = ..., rounds: _Optional[int] = ..., clients_per_round: _Optional[int] = ..., min_updates: _Optional[int] = ..., max_weight: _Optional[int] = ..., training_blocks: _Optional[int] = ..., aggregation_blocks: _Optional[int] = ..., min_window_blocks: _Optional[int] = ..., window_factor_percent: _Optional[int] = ..., max_attempts: _Optional[int] = ..., pause_blocks: _Optional[int] = ..., bandwidth_bytes_per_second: _Optional[int] = ..., aggregator_reward: _Optional[int] = ..., client_reward: _Optional[int] = ..., validator_reward: _Optional[int] = ..., replica_reward: _Optional[int] = ..., aggregators: _Optional[_Iterable[bytes]] = ..., clients: _Optional[_Iterable[bytes]] = ..., replicas: _Optional[_Iterable[bytes]] = ..., mode: _Optional[_Union[Mode, str]] = ..., arithmetic: _Optional[_Union[Arithmetic, str]] = ..., rotation: _Optional[_Union[Rotation, str]] = ..., vote_epsilon: _Optional[int] = ..., vote_theta: _Optional[int] = ..., vote_commit_blocks: _Optional[int] = ..., vote_reveal_blocks: _Optional[int] = ..., demand_blocks: _Optional[int] = ..., min_safety_percent: _Optional[int] = ..., min_round_blocks: _Optional[int] = ..., challenge_bond: _Optional[int] = ..., demand_bond: _Optional[int] = ..., update_bits: _Optional[int] = ..., update_shift: _Optional[int] = ...) -> None: ...

class CreateTask(_message.Message):
    __slots__ = ("parameters", "initial_model_root")
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    parameters: TaskParameters
    initial_model_root: bytes
    def __init__(self, parameters: _Optional[_Union[TaskParameters, _Mapping]] = ..., initial_model_root: _Optional[bytes] = ...) -> None: ...

class StartTask(_message.Message):
    __slots__ = ("task_id", "certificate")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    certificate: _receipt_pb2.Certificate
    def __init__(self, task_id: _Optional[int] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ...) -> None: ...

class CancelTask(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    def __init__(self, task_id: _Optional[int] = ...) -> None: ...

class JoinTask(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    def __init__(self, task_id: _Optional[int] = ...) -> None: ...

class CommitUpdate(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "base_root", "update_root", "weight", "certificate")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BASE_ROOT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ROOT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    base_root: bytes
    update_root: bytes
    weight: int
    certificate: _receipt_pb2.Certificate
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., base_root: _Optional[bytes] = ..., update_root: _Optional[bytes] = ..., weight: _Optional[int] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ...) -> None: ...

class SubmitAggregate(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "turn", "model_root", "certificate", "reduction")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    turn: int
    model_root: bytes
    certificate: _receipt_pb2.Certificate
    reduction: Reduction
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., turn: _Optional[int] = ..., model_root: _Optional[bytes] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ...) -> None: ...

class Reduction(_message.Message):
    __slots__ = ("trace_root", "certificate", "weights")
    TRACE_ROOT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    trace_root: bytes
    certificate: _receipt_pb2.Certificate
    weights: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, trace_root: _Optional[bytes] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., weights: _Optional[_Iterable[int]] = ...) -> None: ...

class Ballot(_message.Message):
    __slots__ = ("chain_id", "task_id", "round", "parent_attempt", "turn", "restarts", "kind", "digest")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    chain_id: str
    task_id: int
    round: int
    parent_attempt: int
    turn: int
    restarts: int
    kind: BallotKind
    digest: bytes
    def __init__(self, chain_id: _Optional[str] = ..., task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., turn: _Optional[int] = ..., restarts: _Optional[int] = ..., kind: _Optional[_Union[BallotKind, str]] = ..., digest: _Optional[bytes] = ...) -> None: ...

class BallotSignature(_message.Message):
    __slots__ = ("member", "signature")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    member: bytes
    signature: bytes
    def __init__(self, member: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SubmitCertifiedAggregate(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "turn", "model_root", "certificate", "signatures", "reduction")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    turn: int
    model_root: bytes
    certificate: _receipt_pb2.Certificate
    signatures: _containers.RepeatedCompositeFieldContainer[BallotSignature]
    reduction: Reduction
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., turn: _Optional[int] = ..., model_root: _Optional[bytes] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., signatures: _Optional[_Iterable[_Union[BallotSignature, _Mapping]]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ...) -> None: ...

class AnswerAudit(_message.Message):
    __slots__ = ("task_id", "attempt_id", "opening")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    opening: Opening
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., opening: _Optional[_Union[Opening, _Mapping]] = ...) -> None: ...

class Opening(_message.Message):
    __slots__ = ("data", "path")
    DATA_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, data: _Optional[bytes] = ..., path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class OutputProof(_message.Message):
    __slots__ = ("chunk", "updates", "base", "claimed")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    chunk: int
    updates: _containers.RepeatedCompositeFieldContainer[Opening]
    base: Opening
    claimed: Opening
    def __init__(self, chunk: _Optional[int] = ..., updates: _Optional[_Iterable[_Union[Opening, _Mapping]]] = ..., base: _Optional[_Union[Opening, _Mapping]] = ..., claimed: _Optional[_Union[Opening, _Mapping]] = ...) -> None: ...

class StepProof(_message.Message):
    __slots__ = ("row", "j", "k", "before", "after", "update_j", "update_k")
    ROW_FIELD_NUMBER: _ClassVar[int]
    J_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_J_FIELD_NUMBER: _ClassVar[int]
    UPDATE_K_FIELD_NUMBER: _ClassVar[int]
    row: int
    j: int
    k: int
    before: Opening
    after: Opening
    update_j: Opening
    update_k: Opening
    def __init__(self, row: _Optional[int] = ..., j: _Optional[int] = ..., k: _Optional[int] = ..., before: _Optional[_Union[Opening, _Mapping]] = ..., after: _Optional[_Union[Opening, _Mapping]] = ..., update_j: _Optional[_Union[Opening, _Mapping]] = ..., update_k: _Optional[_Union[Opening, _Mapping]] = ...) -> None: ...

class WeightsProof(_message.Message):
    __slots__ = ("totals",)
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    totals: Opening
    def __init__(self, totals: _Optional[_Union[Opening, _Mapping]] = ...) -> None: ...

class SubmitFraudProof(_message.Message):
    __slots__ = ("task_id", "attempt_id", "output", "step", "weights")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    output: OutputProof
    step: StepProof
    weights: WeightsProof
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., output: _Optional[_Union[OutputProof, _Mapping]] = ..., step: _Optional[_Union[StepProof, _Mapping]] = ..., weights: _Optional[_Union[WeightsProof, _Mapping]] = ...) -> None: ...

class AnnounceProof(_message.Message):
    __slots__ = ("task_id", "attempt_id", "commitment")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    commitment: bytes
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., commitment: _Optional[bytes] = ...) -> None: ...

class AttestWatch(_message.Message):
    __slots__ = ("task_id", "attempt_id", "digest", "failed_replicas")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FAILED_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    digest: bytes
    failed_replicas: int
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., digest: _Optional[bytes] = ..., failed_replicas: _Optional[int] = ...) -> None: ...

class OpenWatch(_message.Message):
    __slots__ = ("task_id", "attempt_id", "opening", "watch_path")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    WATCH_PATH_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    opening: Opening
    watch_path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., opening: _Optional[_Union[Opening, _Mapping]] = ..., watch_path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class OpenChallenge(_message.Message):
    __slots__ = ("task_id", "attempt_id")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ...) -> None: ...

class Sketch(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Vote(_message.Message):
    __slots__ = ("root", "sketch", "abstain")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SKETCH_FIELD_NUMBER: _ClassVar[int]
    ABSTAIN_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    sketch: Sketch
    abstain: AbstainReason
    def __init__(self, root: _Optional[bytes] = ..., sketch: _Optional[_Union[Sketch, _Mapping]] = ..., abstain: _Optional[_Union[AbstainReason, str]] = ...) -> None: ...

class CommitVote(_message.Message):
    __slots__ = ("task_id", "attempt_id", "commitment", "signature")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    commitment: bytes
    signature: bytes
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., commitment: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class RevealVote(_message.Message):
    __slots__ = ("task_id", "attempt_id", "vote", "salt")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    vote: Vote
    salt: bytes
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., vote: _Optional[_Union[Vote, _Mapping]] = ..., salt: _Optional[bytes] = ...) -> None: ...

class SubmitEquivocation(_message.Message):
    __slots__ = ("member", "first", "first_signature", "second", "second_signature")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    FIRST_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    SECOND_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    member: bytes
    first: Ballot
    first_signature: bytes
    second: Ballot
    second_signature: bytes
    def __init__(self, member: _Optional[bytes] = ..., first: _Optional[_Union[Ballot, _Mapping]] = ..., first_signature: _Optional[bytes] = ..., second: _Optional[_Union[Ballot, _Mapping]] = ..., second_signature: _Optional[bytes] = ...) -> None: ...

class DemandBlob(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "attempt_id", "inputs", "model", "trace")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    attempt_id: int
    inputs: _containers.RepeatedScalarFieldContainer[int]
    model: bool
    trace: bool
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., attempt_id: _Optional[int] = ..., inputs: _Optional[_Iterable[int]] = ..., model: bool = ..., trace: bool = ...) -> None: ...

class AnswerDemand(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "attempt_id", "inputs", "model", "trace", "openings")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    attempt_id: int
    inputs: _containers.RepeatedScalarFieldContainer[int]
    model: bool
    trace: bool
    openings: _containers.RepeatedCompositeFieldContainer[Opening]
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., attempt_id: _Optional[int] = ..., inputs: _Optional[_Iterable[int]] = ..., model: bool = ..., trace: bool = ..., openings: _Optional[_Iterable[_Union[Opening, _Mapping]]] = ...) -> None: ...
