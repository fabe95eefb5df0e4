from optfl.wire import receipt_pb2 as _receipt_pb2
from optfl.wire import transaction_pb2 as _transaction_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATUS_UNSPECIFIED: _ClassVar[TaskStatus]
    TASK_STATUS_CREATED: _ClassVar[TaskStatus]
    TASK_STATUS_RUNNING: _ClassVar[TaskStatus]
    TASK_STATUS_PAUSED: _ClassVar[TaskStatus]
    TASK_STATUS_COMPLETED: _ClassVar[TaskStatus]
    TASK_STATUS_ABORTED: _ClassVar[TaskStatus]

class RoundStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_STATUS_UNSPECIFIED: _ClassVar[RoundStatus]
    ROUND_STATUS_TRAINING: _ClassVar[RoundStatus]
    ROUND_STATUS_AGGREGATING: _ClassVar[RoundStatus]
    ROUND_STATUS_OPEN: _ClassVar[RoundStatus]

class AttemptStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ATTEMPT_STATUS_UNSPECIFIED: _ClassVar[AttemptStatus]
    ATTEMPT_STATUS_OPEN: _ClassVar[AttemptStatus]
    ATTEMPT_STATUS_SETTLED: _ClassVar[AttemptStatus]
    ATTEMPT_STATUS_VOID: _ClassVar[AttemptStatus]
    ATTEMPT_STATUS_CONVICTED: _ClassVar[AttemptStatus]

class ChallengeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHALLENGE_STATUS_UNSPECIFIED: _ClassVar[ChallengeStatus]
    CHALLENGE_STATUS_COMMITTING: _ClassVar[ChallengeStatus]
    CHALLENGE_STATUS_REVEALING: _ClassVar[ChallengeStatus]
    CHALLENGE_STATUS_DECIDED: _ClassVar[ChallengeStatus]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_UPHELD: _ClassVar[Verdict]
    VERDICT_REJECTED: _ClassVar[Verdict]
    VERDICT_NO_QUORUM: _ClassVar[Verdict]
    VERDICT_MOOT: _ClassVar[Verdict]

class DemandStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEMAND_STATUS_UNSPECIFIED: _ClassVar[DemandStatus]
    DEMAND_STATUS_OPEN: _ClassVar[DemandStatus]
    DEMAND_STATUS_HELD: _ClassVar[DemandStatus]
    DEMAND_STATUS_MISSING: _ClassVar[DemandStatus]
TASK_STATUS_UNSPECIFIED: TaskStatus
TASK_STATUS_CREATED: TaskStatus
TASK_STATUS_RUNNING: TaskStatus
TASK_STATUS_PAUSED: TaskStatus
TASK_STATUS_COMPLETED: TaskStatus
TASK_STATUS_ABORTED: TaskStatus
ROUND_STATUS_UNSPECIFIED: RoundStatus
ROUND_STATUS_TRAINING: RoundStatus
ROUND_STATUS_AGGREGATING: RoundStatus
ROUND_STATUS_OPEN: RoundStatus
ATTEMPT_STATUS_UNSPECIFIED: AttemptStatus
ATTEMPT_STATUS_OPEN: AttemptStatus
ATTEMPT_STATUS_SETTLED: AttemptStatus
ATTEMPT_STATUS_VOID: AttemptStatus
ATTEMPT_STATUS_CONVICTED: AttemptStatus
CHALLENGE_STATUS_UNSPECIFIED: ChallengeStatus
CHALLENGE_STATUS_COMMITTING: ChallengeStatus
CHALLENGE_STATUS_REVEALING: ChallengeStatus
CHALLENGE_STATUS_DECIDED: ChallengeStatus
VERDICT_UNSPECIFIED: Verdict
VERDICT_UPHELD: Verdict
VERDICT_REJECTED: Verdict
VERDICT_NO_QUORUM: Verdict
VERDICT_MOOT: Verdict
DEMAND_STATUS_UNSPECIFIED: DemandStatus
DEMAND_STATUS_OPEN: DemandStatus
DEMAND_STATUS_HELD: DemandStatus
DEMAND_STATUS_MISSING: DemandStatus

class Params(_message.Message):
    __slots__ = ("chain_id", "block_time_ms", "min_fee", "fee_per_kilobyte", "validator_stake_unit", "min_validators", "min_validator_stake", "min_aggregator_stake", "min_replica_stake", "min_client_stake", "unbonding_blocks", "evidence_blocks", "proof_bond", "fraud_slash_percent", "equivocation_slash_percent", "burned_percent", "compensation_percent", "reporter_percent", "max_proof_operations", "max_proofs_per_block", "min_task_escrow", "late_slash_percent", "exclusion_blocks", "inclusion_percent")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCK_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    MIN_FEE_FIELD_NUMBER: _ClassVar[int]
    FEE_PER_KILOBYTE_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_STAKE_UNIT_FIELD_NUMBER: _ClassVar[int]
    MIN_VALIDATORS_FIELD_NUMBER: _ClassVar[int]
    MIN_VALIDATOR_STAKE_FIELD_NUMBER: _ClassVar[int]
    MIN_AGGREGATOR_STAKE_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICA_STAKE_FIELD_NUMBER: _ClassVar[int]
    MIN_CLIENT_STAKE_FIELD_NUMBER: _ClassVar[int]
    UNBONDING_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    PROOF_BOND_FIELD_NUMBER: _ClassVar[int]
    FRAUD_SLASH_PERCENT_FIELD_NUMBER: _ClassVar[int]
    EQUIVOCATION_SLASH_PERCENT_FIELD_NUMBER: _ClassVar[int]
    BURNED_PERCENT_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    REPORTER_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MAX_PROOF_OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_PROOFS_PER_BLOCK_FIELD_NUMBER: _ClassVar[int]
    MIN_TASK_ESCROW_FIELD_NUMBER: _ClassVar[int]
    LATE_SLASH_PERCENT_FIELD_NUMBER: _ClassVar[int]
    EXCLUSION_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_PERCENT_FIELD_NUMBER: _ClassVar[int]
    chain_id: str
    block_time_ms: int
    min_fee: int
    fee_per_kilobyte: int
    validator_stake_unit: int
    min_validators: int
    min_validator_stake: int
    min_aggregator_stake: int
    min_replica_stake: int
    min_client_stake: int
    unbonding_blocks: int
    evidence_blocks: int
    proof_bond: int
    fraud_slash_percent: int
    equivocation_slash_percent: int
    burned_percent: int
    compensation_percent: int
    reporter_percent: int
    max_proof_operations: int
    max_proofs_per_block: int
    min_task_escrow: int
    late_slash_percent: int
    exclusion_blocks: int
    inclusion_percent: int
    def __init__(self, chain_id: _Optional[str] = ..., block_time_ms: _Optional[int] = ..., min_fee: _Optional[int] = ..., fee_per_kilobyte: _Optional[int] = ..., validator_stake_unit: _Optional[int] = ..., min_validators: _Optional[int] = ..., min_validator_stake: _Optional[int] = ..., min_aggregator_stake: _Optional[int] = ..., min_replica_stake: _Optional[int] = ..., min_client_stake: _Optional[int] = ..., unbonding_blocks: _Optional[int] = ..., evidence_blocks: _Optional[int] = ..., proof_bond: _Optional[int] = ..., fraud_slash_percent: _Optional[int] = ..., equivocation_slash_percent: _Optional[int] = ..., burned_percent: _Optional[int] = ..., compensation_percent: _Optional[int] = ..., reporter_percent: _Optional[int] = ..., max_proof_operations: _Optional[int] = ..., max_proofs_per_block: _Optional[int] = ..., min_task_escrow: _Optional[int] = ..., late_slash_percent: _Optional[int] = ..., exclusion_blocks: _Optional[int] = ..., inclusion_percent: _Optional[int] = ...) -> None: ...

class Supply(_message.Message):
    __slots__ = ("genesis", "burned", "fee_pot")
    GENESIS_FIELD_NUMBER: _ClassVar[int]
    BURNED_FIELD_NUMBER: _ClassVar[int]
    FEE_POT_FIELD_NUMBER: _ClassVar[int]
    genesis: int
    burned: int
    fee_pot: int
    def __init__(self, genesis: _Optional[int] = ..., burned: _Optional[int] = ..., fee_pot: _Optional[int] = ...) -> None: ...

class Chain(_message.Message):
    __slots__ = ("height", "beacon", "next_task_id", "live_tasks")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BEACON_FIELD_NUMBER: _ClassVar[int]
    NEXT_TASK_ID_FIELD_NUMBER: _ClassVar[int]
    LIVE_TASKS_FIELD_NUMBER: _ClassVar[int]
    height: int
    beacon: bytes
    next_task_id: int
    live_tasks: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, height: _Optional[int] = ..., beacon: _Optional[bytes] = ..., next_task_id: _Optional[int] = ..., live_tasks: _Optional[_Iterable[int]] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("balance", "sequence")
    BALANCE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    balance: int
    sequence: int
    def __init__(self, balance: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Stake(_message.Message):
    __slots__ = ("role", "address", "public_key", "amount", "unbondings", "open_tasks", "evidence_height", "excluded", "excluded_until_height", "faults", "committed")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    UNBONDINGS_FIELD_NUMBER: _ClassVar[int]
    OPEN_TASKS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    role: _transaction_pb2.Role
    address: bytes
    public_key: bytes
    amount: int
    unbondings: int
    open_tasks: int
    evidence_height: int
    excluded: bool
    excluded_until_height: int
    faults: int
    committed: int
    def __init__(self, role: _Optional[_Union[_transaction_pb2.Role, str]] = ..., address: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., amount: _Optional[int] = ..., unbondings: _Optional[int] = ..., open_tasks: _Optional[int] = ..., evidence_height: _Optional[int] = ..., excluded: bool = ..., excluded_until_height: _Optional[int] = ..., faults: _Optional[int] = ..., committed: _Optional[int] = ...) -> None: ...

class Unbonding(_message.Message):
    __slots__ = ("role", "address", "amount", "release_height")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    role: _transaction_pb2.Role
    address: bytes
    amount: int
    release_height: int
    def __init__(self, role: _Optional[_Union[_transaction_pb2.Role, str]] = ..., address: _Optional[bytes] = ..., amount: _Optional[int] = ..., release_height: _Optional[int] = ...) -> None: ...

class Validator(_message.Message):
    __slots__ = ("operator", "consensus_key", "power", "last_proposed_height", "tombstoned", "beacon_tip", "next_beacon_tip", "next_beacon_height")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    CONSENSUS_KEY_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    LAST_PROPOSED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONED_FIELD_NUMBER: _ClassVar[int]
    BEACON_TIP_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEACON_TIP_FIELD_NUMBER: _ClassVar[int]
    NEXT_BEACON_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    operator: bytes
    consensus_key: bytes
    power: int
    last_proposed_height: int
    tombstoned: bool
    beacon_tip: bytes
    next_beacon_tip: bytes
    next_beacon_height: int
    def __init__(self, operator: _Optional[bytes] = ..., consensus_key: _Optional[bytes] = ..., power: _Optional[int] = ..., last_proposed_height: _Optional[int] = ..., tombstoned: bool = ..., beacon_tip: _Optional[bytes] = ..., next_beacon_tip: _Optional[bytes] = ..., next_beacon_height: _Optional[int] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("task_id", "requester", "parameters", "status", "escrow", "head_round", "settled_round", "next_attempt_id", "initial_model_root", "initial_model_certificate", "settled_attempt", "cancelled", "paused_height", "created_height", "ended_height", "retention_blocks", "draw_by_stake", "settled_retain_until_height", "joined", "required_stake", "outcomes", "unsafe_height", "client_weights", "head_start_height")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ESCROW_FIELD_NUMBER: _ClassVar[int]
    HEAD_ROUND_FIELD_NUMBER: _ClassVar[int]
    SETTLED_ROUND_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    INITIAL_MODEL_CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    SETTLED_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CREATED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ENDED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RETENTION_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    DRAW_BY_STAKE_FIELD_NUMBER: _ClassVar[int]
    SETTLED_RETAIN_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_STAKE_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    UNSAFE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CLIENT_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    HEAD_START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    requester: bytes
    parameters: _transaction_pb2.TaskParameters
    status: TaskStatus
    escrow: int
    head_round: int
    settled_round: int
    next_attempt_id: int
    initial_model_root: bytes
    initial_model_certificate: _receipt_pb2.Certificate
    settled_attempt: int
    cancelled: bool
    paused_height: int
    created_height: int
    ended_height: int
    retention_blocks: int
    draw_by_stake: bool
    settled_retain_until_height: int
    joined: _containers.RepeatedScalarFieldContainer[bytes]
    required_stake: int
    outcomes: int
    unsafe_height: int
    client_weights: _containers.RepeatedScalarFieldContainer[int]
    head_start_height: int
    def __init__(self, task_id: _Optional[int] = ..., requester: _Optional[bytes] = ..., parameters: _Optional[_Union[_transaction_pb2.TaskParameters, _Mapping]] = ..., status: _Optional[_Union[TaskStatus, str]] = ..., escrow: _Optional[int] = ..., head_round: _Optional[int] = ..., settled_round: _Optional[int] = ..., next_attempt_id: _Optional[int] = ..., initial_model_root: _Optional[bytes] = ..., initial_model_certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., settled_attempt: _Optional[int] = ..., cancelled: bool = ..., paused_height: _Optional[int] = ..., created_height: _Optional[int] = ..., ended_height: _Optional[int] = ..., retention_blocks: _Optional[int] = ..., draw_by_stake: bool = ..., settled_retain_until_height: _Optional[int] = ..., joined: _Optional[_Iterable[bytes]] = ..., required_stake: _Optional[int] = ..., outcomes: _Optional[int] = ..., unsafe_height: _Optional[int] = ..., client_weights: _Optional[_Iterable[int]] = ..., head_start_height: _Optional[int] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("task_id", "round", "status", "parent_attempt", "base_root", "beacon", "selected", "committed", "start_height", "training_deadline_height", "freeze_height", "turn", "aggregator", "turn_start_height", "aggregation_deadline_height", "attempt_id", "window_open_height", "window_close_height", "base_retain_until_height", "restarts", "unpaid_validators", "undecided_votes", "watches", "watch_beacon", "watch_start_height", "watch_deadline_height")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    BASE_ROOT_FIELD_NUMBER: _ClassVar[int]
    BEACON_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FREEZE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_FIELD_NUMBER: _ClassVar[int]
    TURN_START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    WINDOW_OPEN_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_CLOSE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BASE_RETAIN_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    UNPAID_VALIDATORS_FIELD_NUMBER: _ClassVar[int]
    UNDECIDED_VOTES_FIELD_NUMBER: _ClassVar[int]
    WATCHES_FIELD_NUMBER: _ClassVar[int]
    WATCH_BEACON_FIELD_NUMBER: _ClassVar[int]
    WATCH_START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WATCH_DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    status: RoundStatus
    parent_attempt: int
    base_root: bytes
    beacon: bytes
    selected: _containers.RepeatedScalarFieldContainer[bytes]
    committed: int
    start_height: int
    training_deadline_height: int
    freeze_height: int
    turn: int
    aggregator: bytes
    turn_start_height: int
    aggregation_deadline_height: int
    attempt_id: int
    window_open_height: int
    window_close_height: int
    base_retain_until_height: int
    restarts: int
    unpaid_validators: _containers.RepeatedScalarFieldContainer[bytes]
    undecided_votes: int
    watches: int
    watch_beacon: bytes
    watch_start_height: int
    watch_deadline_height: int
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., status: _Optional[_Union[RoundStatus, str]] = ..., parent_attempt: _Optional[int] = ..., base_root: _Optional[bytes] = ..., beacon: _Optional[bytes] = ..., selected: _Optional[_Iterable[bytes]] = ..., committed: _Optional[int] = ..., start_height: _Optional[int] = ..., training_deadline_height: _Optional[int] = ..., freeze_height: _Optional[int] = ..., turn: _Optional[int] = ..., aggregator: _Optional[bytes] = ..., turn_start_height: _Optional[int] = ..., aggregation_deadline_height: _Optional[int] = ..., attempt_id: _Optional[int] = ..., window_open_height: _Optional[int] = ..., window_close_height: _Optional[int] = ..., base_retain_until_height: _Optional[int] = ..., restarts: _Optional[int] = ..., unpaid_validators: _Optional[_Iterable[bytes]] = ..., undecided_votes: _Optional[int] = ..., watches: _Optional[int] = ..., watch_beacon: _Optional[bytes] = ..., watch_start_height: _Optional[int] = ..., watch_deadline_height: _Optional[int] = ...) -> None: ...

class Commitment(_message.Message):
    __slots__ = ("client", "update_root", "weight", "certificate", "height")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ROOT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    client: bytes
    update_root: bytes
    weight: int
    certificate: _receipt_pb2.Certificate
    height: int
    def __init__(self, client: _Optional[bytes] = ..., update_root: _Optional[bytes] = ..., weight: _Optional[int] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., height: _Optional[int] = ...) -> None: ...

class SeenUpdate(_message.Message):
    __slots__ = ("parent_attempt", "clients")
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CLIENTS_FIELD_NUMBER: _ClassVar[int]
    parent_attempt: int
    clients: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, parent_attempt: _Optional[int] = ..., clients: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Input(_message.Message):
    __slots__ = ("client", "update_root", "weight")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_ROOT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    client: bytes
    update_root: bytes
    weight: int
    def __init__(self, client: _Optional[bytes] = ..., update_root: _Optional[bytes] = ..., weight: _Optional[int] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("task_id", "attempt_id", "round", "parent_attempt", "turn", "aggregator", "base_root", "inputs", "rule", "model_root", "reduction", "round_beacon", "certificate", "beacon", "freeze_height", "submit_height", "window_close_height", "evidence_height", "status", "status_height", "prover", "model_retain_until_height", "signers")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_FIELD_NUMBER: _ClassVar[int]
    BASE_ROOT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    ROUND_BEACON_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    BEACON_FIELD_NUMBER: _ClassVar[int]
    FREEZE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_CLOSE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STATUS_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PROVER_FIELD_NUMBER: _ClassVar[int]
    MODEL_RETAIN_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIGNERS_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    round: int
    parent_attempt: int
    turn: int
    aggregator: bytes
    base_root: bytes
    inputs: _containers.RepeatedCompositeFieldContainer[Input]
    rule: str
    model_root: bytes
    reduction: _transaction_pb2.Reduction
    round_beacon: bytes
    certificate: _receipt_pb2.Certificate
    beacon: bytes
    freeze_height: int
    submit_height: int
    window_close_height: int
    evidence_height: int
    status: AttemptStatus
    status_height: int
    prover: bytes
    model_retain_until_height: int
    signers: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., turn: _Optional[int] = ..., aggregator: _Optional[bytes] = ..., base_root: _Optional[bytes] = ..., inputs: _Optional[_Iterable[_Union[Input, _Mapping]]] = ..., rule: _Optional[str] = ..., model_root: _Optional[bytes] = ..., reduction: _Optional[_Union[_transaction_pb2.Reduction, _Mapping]] = ..., round_beacon: _Optional[bytes] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., beacon: _Optional[bytes] = ..., freeze_height: _Optional[int] = ..., submit_height: _Optional[int] = ..., window_close_height: _Optional[int] = ..., evidence_height: _Optional[int] = ..., status: _Optional[_Union[AttemptStatus, str]] = ..., status_height: _Optional[int] = ..., prover: _Optional[bytes] = ..., model_retain_until_height: _Optional[int] = ..., signers: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Challenge(_message.Message):
    __slots__ = ("task_id", "attempt_id", "round", "status", "verdict", "bonds", "open_height", "commit_deadline_height", "reveal_start_height", "reveal_deadline_height", "seed", "voters", "decided_height")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    BONDS_FIELD_NUMBER: _ClassVar[int]
    OPEN_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    COMMIT_DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    REVEAL_START_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    REVEAL_DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    DECIDED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    round: int
    status: ChallengeStatus
    verdict: Verdict
    bonds: _containers.RepeatedCompositeFieldContainer[Bond]
    open_height: int
    commit_deadline_height: int
    reveal_start_height: int
    reveal_deadline_height: int
    seed: bytes
    voters: _containers.RepeatedCompositeFieldContainer[Voter]
    decided_height: int
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., round: _Optional[int] = ..., status: _Optional[_Union[ChallengeStatus, str]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., bonds: _Optional[_Iterable[_Union[Bond, _Mapping]]] = ..., open_height: _Optional[int] = ..., commit_deadline_height: _Optional[int] = ..., reveal_start_height: _Optional[int] = ..., reveal_deadline_height: _Optional[int] = ..., seed: _Optional[bytes] = ..., voters: _Optional[_Iterable[_Union[Voter, _Mapping]]] = ..., decided_height: _Optional[int] = ...) -> None: ...

class Bond(_message.Message):
    __slots__ = ("address", "amount")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    amount: int
    def __init__(self, address: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...

class Voter(_message.Message):
    __slots__ = ("operator", "power", "commitment", "vote", "agreed")
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    VOTE_FIELD_NUMBER: _ClassVar[int]
    AGREED_FIELD_NUMBER: _ClassVar[int]
    operator: bytes
    power: int
    commitment: bytes
    vote: _transaction_pb2.Vote
    agreed: bool
    def __init__(self, operator: _Optional[bytes] = ..., power: _Optional[int] = ..., commitment: _Optional[bytes] = ..., vote: _Optional[_Union[_transaction_pb2.Vote, _Mapping]] = ..., agreed: bool = ...) -> None: ...

class Demand(_message.Message):
    __slots__ = ("task_id", "round", "parent_attempt", "attempt_id", "turn", "blob", "root", "bond", "open_height", "deadline_height", "holders", "status", "beacon")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    BOND_FIELD_NUMBER: _ClassVar[int]
    OPEN_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    HOLDERS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BEACON_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    attempt_id: int
    turn: int
    blob: int
    root: bytes
    bond: Bond
    open_height: int
    deadline_height: int
    holders: _containers.RepeatedCompositeFieldContainer[Holder]
    status: DemandStatus
    beacon: bytes
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., attempt_id: _Optional[int] = ..., turn: _Optional[int] = ..., blob: _Optional[int] = ..., root: _Optional[bytes] = ..., bond: _Optional[_Union[Bond, _Mapping]] = ..., open_height: _Optional[int] = ..., deadline_height: _Optional[int] = ..., holders: _Optional[_Iterable[_Union[Holder, _Mapping]]] = ..., status: _Optional[_Union[DemandStatus, str]] = ..., beacon: _Optional[bytes] = ...) -> None: ...

class Holder(_message.Message):
    __slots__ = ("operator",)
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    operator: bytes
    def __init__(self, operator: _Optional[bytes] = ...) -> None: ...

class Audit(_message.Message):
    __slots__ = ("height",)
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    height: int
    def __init__(self, height: _Optional[int] = ...) -> None: ...

class Watch(_message.Message):
    __slots__ = ("digest", "failed_replicas", "height", "opened")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    FAILED_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    digest: bytes
    failed_replicas: int
    height: int
    opened: bool
    def __init__(self, digest: _Optional[bytes] = ..., failed_replicas: _Optional[int] = ..., height: _Optional[int] = ..., opened: bool = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("commitment", "height", "validator", "proposer")
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    PROPOSER_FIELD_NUMBER: _ClassVar[int]
    commitment: bytes
    height: int
    validator: bool
    proposer: bytes
    def __init__(self, commitment: _Optional[bytes] = ..., height: _Optional[int] = ..., validator: bool = ..., proposer: _Optional[bytes] = ...) -> None: ...

class Equivocation(_message.Message):
    __slots__ = ("member", "height", "slashed")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SLASHED_FIELD_NUMBER: _ClassVar[int]
    member: bytes
    height: int
    slashed: int
    def __init__(self, member: _Optional[bytes] = ..., height: _Optional[int] = ..., slashed: _Optional[int] = ...) -> None: ...

class Digest(_message.Message):
    __slots__ = ("round", "attempt_id", "model_root", "aggregator", "updates", "settled_height", "record_hash", "inputs_hash")
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    SETTLED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    RECORD_HASH_FIELD_NUMBER: _ClassVar[int]
    INPUTS_HASH_FIELD_NUMBER: _ClassVar[int]
    round: int
    attempt_id: int
    model_root: bytes
    aggregator: bytes
    updates: int
    settled_height: int
    record_hash: bytes
    inputs_hash: bytes
    def __init__(self, round: _Optional[int] = ..., attempt_id: _Optional[int] = ..., model_root: _Optional[bytes] = ..., aggregator: _Optional[bytes] = ..., updates: _Optional[int] = ..., settled_height: _Optional[int] = ..., record_hash: _Optional[bytes] = ..., inputs_hash: _Optional[bytes] = ...) -> None: ...

class Conviction(_message.Message):
    __slots__ = ("task_id", "attempt_id", "round", "aggregator", "prover", "proof_kind", "submit_height", "convicted_height", "slashed", "burned", "compensation", "reporter_reward", "voided_rounds", "reverted", "inputs_hash", "signers", "rewards", "inclusion_reward")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    AGGREGATOR_FIELD_NUMBER: _ClassVar[int]
    PROVER_FIELD_NUMBER: _ClassVar[int]
    PROOF_KIND_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CONVICTED_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SLASHED_FIELD_NUMBER: _ClassVar[int]
    BURNED_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_FIELD_NUMBER: _ClassVar[int]
    REPORTER_REWARD_FIELD_NUMBER: _ClassVar[int]
    VOIDED_ROUNDS_FIELD_NUMBER: _ClassVar[int]
    REVERTED_FIELD_NUMBER: _ClassVar[int]
    INPUTS_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNERS_FIELD_NUMBER: _ClassVar[int]
    REWARDS_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_REWARD_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    round: int
    aggregator: bytes
    prover: bytes
    proof_kind: str
    submit_height: int
    convicted_height: int
    slashed: int
    burned: int
    compensation: int
    reporter_reward: int
    voided_rounds: int
    reverted: bool
    inputs_hash: bytes
    signers: _containers.RepeatedScalarFieldContainer[bytes]
    rewards: _containers.RepeatedCompositeFieldContainer[Reward]
    inclusion_reward: int
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., round: _Optional[int] = ..., aggregator: _Optional[bytes] = ..., prover: _Optional[bytes] = ..., proof_kind: _Optional[str] = ..., submit_height: _Optional[int] = ..., convicted_height: _Optional[int] = ..., slashed: _Optional[int] = ..., burned: _Optional[int] = ..., compensation: _Optional[int] = ..., reporter_reward: _Optional[int] = ..., voided_rounds: _Optional[int] = ..., reverted: bool = ..., inputs_hash: _Optional[bytes] = ..., signers: _Optional[_Iterable[bytes]] = ..., rewards: _Optional[_Iterable[_Union[Reward, _Mapping]]] = ..., inclusion_reward: _Optional[int] = ...) -> None: ...

class Reward(_message.Message):
    __slots__ = ("account", "amount")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    account: bytes
    amount: int
    def __init__(self, account: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...

class TaskList(_message.Message):
    __slots__ = ("height", "tasks")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    height: int
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, height: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class ValidatorList(_message.Message):
    __slots__ = ("height", "validators")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    VALIDATORS_FIELD_NUMBER: _ClassVar[int]
    height: int
    validators: _containers.RepeatedCompositeFieldContainer[Validator]
    def __init__(self, height: _Optional[int] = ..., validators: _Optional[_Iterable[_Union[Validator, _Mapping]]] = ...) -> None: ...

class StakeList(_message.Message):
    __slots__ = ("height", "stakes", "unbonding")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STAKES_FIELD_NUMBER: _ClassVar[int]
    UNBONDING_FIELD_NUMBER: _ClassVar[int]
    height: int
    stakes: _containers.RepeatedCompositeFieldContainer[Stake]
    unbonding: _containers.RepeatedCompositeFieldContainer[Unbonding]
    def __init__(self, height: _Optional[int] = ..., stakes: _Optional[_Iterable[_Union[Stake, _Mapping]]] = ..., unbonding: _Optional[_Iterable[_Union[Unbonding, _Mapping]]] = ...) -> None: ...

class TokenView(_message.Message):
    __slots__ = ("height", "supply", "balances", "stakes", "unbonding", "escrows", "bonds")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SUPPLY_FIELD_NUMBER: _ClassVar[int]
    BALANCES_FIELD_NUMBER: _ClassVar[int]
    STAKES_FIELD_NUMBER: _ClassVar[int]
    UNBONDING_FIELD_NUMBER: _ClassVar[int]
    ESCROWS_FIELD_NUMBER: _ClassVar[int]
    BONDS_FIELD_NUMBER: _ClassVar[int]
    height: int
    supply: Supply
    balances: _containers.RepeatedCompositeFieldContainer[Balance]
    stakes: _containers.RepeatedCompositeFieldContainer[Stake]
    unbonding: _containers.RepeatedCompositeFieldContainer[Unbonding]
    escrows: _containers.RepeatedCompositeFieldContainer[Escrow]
    bonds: int
    def __init__(self, height: _Optional[int] = ..., supply: _Optional[_Union[Supply, _Mapping]] = ..., balances: _Optional[_Iterable[_Union[Balance, _Mapping]]] = ..., stakes: _Optional[_Iterable[_Union[Stake, _Mapping]]] = ..., unbonding: _Optional[_Iterable[_Union[Unbonding, _Mapping]]] = ..., escrows: _Optional[_Iterable[_Union[Escrow, _Mapping]]] = ..., bonds: _Optional[int] = ...) -> None: ...

class Balance(_message.Message):
    __slots__ = ("address", "amount")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    amount: int
    def __init__(self, address: _Optional[bytes] = ..., amount: _Optional[int] = ...) -> None: ...

class Escrow(_message.Message):
    __slots__ = ("task_id", "amount")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    amount: int
    def __init__(self, task_id: _Optional[int] = ..., amount: _Optional[int] = ...) -> None: ...

class TaskView(_message.Message):
    __slots__ = ("height", "task", "rounds", "commitments", "attempts", "digests", "replica_keys", "convictions", "validators", "challenges", "demands", "audits", "members", "announcements", "watches")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    REPLICA_KEYS_FIELD_NUMBER: _ClassVar[int]
    CONVICTIONS_FIELD_NUMBER: _ClassVar[int]
    VALIDATORS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGES_FIELD_NUMBER: _ClassVar[int]
    DEMANDS_FIELD_NUMBER: _ClassVar[int]
    AUDITS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENTS_FIELD_NUMBER: _ClassVar[int]
    WATCHES_FIELD_NUMBER: _ClassVar[int]
    height: int
    task: Task
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    commitments: _containers.RepeatedCompositeFieldContainer[RoundCommitments]
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    digests: _containers.RepeatedCompositeFieldContainer[Digest]
    replica_keys: _containers.RepeatedScalarFieldContainer[bytes]
    convictions: _containers.RepeatedCompositeFieldContainer[Conviction]
    validators: _containers.RepeatedScalarFieldContainer[bytes]
    challenges: _containers.RepeatedCompositeFieldContainer[Challenge]
    demands: _containers.RepeatedCompositeFieldContainer[Demand]
    audits: _containers.RepeatedCompositeFieldContainer[AnsweredAudit]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    announcements: _containers.RepeatedCompositeFieldContainer[AnnouncedProof]
    watches: _containers.RepeatedCompositeFieldContainer[AttestedWatch]
    def __init__(self, height: _Optional[int] = ..., task: _Optional[_Union[Task, _Mapping]] = ..., rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ..., commitments: _Optional[_Iterable[_Union[RoundCommitments, _Mapping]]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., digests: _Optional[_Iterable[_Union[Digest, _Mapping]]] = ..., replica_keys: _Optional[_Iterable[bytes]] = ..., convictions: _Optional[_Iterable[_Union[Conviction, _Mapping]]] = ..., validators: _Optional[_Iterable[bytes]] = ..., challenges: _Optional[_Iterable[_Union[Challenge, _Mapping]]] = ..., demands: _Optional[_Iterable[_Union[Demand, _Mapping]]] = ..., audits: _Optional[_Iterable[_Union[AnsweredAudit, _Mapping]]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., announcements: _Optional[_Iterable[_Union[AnnouncedProof, _Mapping]]] = ..., watches: _Optional[_Iterable[_Union[AttestedWatch, _Mapping]]] = ...) -> None: ...

class TaskParts(_message.Message):
    __slots__ = ("height", "parts")
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    height: int
    parts: _containers.RepeatedCompositeFieldContainer[TaskPart]
    def __init__(self, height: _Optional[int] = ..., parts: _Optional[_Iterable[_Union[TaskPart, _Mapping]]] = ...) -> None: ...

class TaskPart(_message.Message):
    __slots__ = ("content", "digest")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    digest: bytes
    def __init__(self, content: _Optional[bytes] = ..., digest: _Optional[bytes] = ...) -> None: ...

class AttestedWatch(_message.Message):
    __slots__ = ("attempt_id", "operator", "watch")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    attempt_id: int
    operator: bytes
    watch: Watch
    def __init__(self, attempt_id: _Optional[int] = ..., operator: _Optional[bytes] = ..., watch: _Optional[_Union[Watch, _Mapping]] = ...) -> None: ...

class AnnouncedProof(_message.Message):
    __slots__ = ("attempt_id", "prover", "announcement")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROVER_FIELD_NUMBER: _ClassVar[int]
    ANNOUNCEMENT_FIELD_NUMBER: _ClassVar[int]
    attempt_id: int
    prover: bytes
    announcement: Announcement
    def __init__(self, attempt_id: _Optional[int] = ..., prover: _Optional[bytes] = ..., announcement: _Optional[_Union[Announcement, _Mapping]] = ...) -> None: ...

class AnsweredAudit(_message.Message):
    __slots__ = ("attempt_id", "replica")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    attempt_id: int
    replica: int
    def __init__(self, attempt_id: _Optional[int] = ..., replica: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("address", "public_key", "power")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    POWER_FIELD_NUMBER: _ClassVar[int]
    address: bytes
    public_key: bytes
    power: int
    def __init__(self, address: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., power: _Optional[int] = ...) -> None: ...

class RoundCommitments(_message.Message):
    __slots__ = ("commitments",)
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    commitments: _containers.RepeatedCompositeFieldContainer[IndexedCommitment]
    def __init__(self, commitments: _Optional[_Iterable[_Union[IndexedCommitment, _Mapping]]] = ...) -> None: ...

class IndexedCommitment(_message.Message):
    __slots__ = ("index", "commitment")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    index: int
    commitment: Commitment
    def __init__(self, index: _Optional[int] = ..., commitment: _Optional[_Union[Commitment, _Mapping]] = ...) -> None: ...
