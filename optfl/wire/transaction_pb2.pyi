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
ROLE_UNSPECIFIED: Role
ROLE_VALIDATOR: Role
ROLE_AGGREGATOR: Role
ROLE_REPLICA: Role
ROLE_CLIENT: Role

class Transaction(_message.Message):
    __slots__ = ("body", "public_key", "signature")
    BODY_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    public_key: bytes
    signature: bytes
    def __init__(self, body: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Body(_message.Message):
    __slots__ = ("chain_id", "sequence", "fee", "expiry_height", "transfer", "register_validator", "register_role", "add_stake", "unbond", "create_task", "start_task", "cancel_task", "commit_update", "submit_aggregate", "submit_fraud_proof")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FEE_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    REGISTER_VALIDATOR_FIELD_NUMBER: _ClassVar[int]
    REGISTER_ROLE_FIELD_NUMBER: _ClassVar[int]
    ADD_STAKE_FIELD_NUMBER: _ClassVar[int]
    UNBOND_FIELD_NUMBER: _ClassVar[int]
    CREATE_TASK_FIELD_NUMBER: _ClassVar[int]
    START_TASK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_TASK_FIELD_NUMBER: _ClassVar[int]
    COMMIT_UPDATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FRAUD_PROOF_FIELD_NUMBER: _ClassVar[int]
    chain_id: str
    sequence: int
    fee: int
    expiry_height: int
    transfer: Transfer
    register_validator: RegisterValidator
    register_role: RegisterRole
    add_stake: AddStake
    unbond: Unbond
    create_task: CreateTask
    start_task: StartTask
    cancel_task: CancelTask
    commit_update: CommitUpdate
    submit_aggregate: SubmitAggregate
    submit_fraud_proof: SubmitFraudProof
    def __init__(self, chain_id: _Optional[str] = ..., sequence: _Optional[int] = ..., fee: _Optional[int] = ..., expiry_height: _Optional[int] = ..., transfer: _Optional[_Union[Transfer, _Mapping]] = ..., register_validator: _Optional[_Union[RegisterValidator, _Mapping]] = ..., register_role: _Optional[_Union[RegisterRole, _Mapping]] = ..., add_stake: _Optional[_Union[AddStake, _Mapping]] = ..., unbond: _Optional[_Union[Unbond, _Mapping]] = ..., create_task: _Optional[_Union[CreateTask, _Mapping]] = ..., start_task: _Optional[_Union[StartTask, _Mapping]] = ..., cancel_task: _Optional[_Union[CancelTask, _Mapping]] = ..., commit_update: _Optional[_Union[CommitUpdate, _Mapping]] = ..., submit_aggregate: _Optional[_Union[SubmitAggregate, _Mapping]] = ..., submit_fraud_proof: _Optional[_Union[SubmitFraudProof, _Mapping]] = ...) -> None: ...

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

class TaskParameters(_message.Message):
    __slots__ = ("name", "rule", "length", "chunk_values", "fraction_bits", "rounds", "clients_per_round", "min_updates", "max_weight", "training_blocks", "aggregation_blocks", "min_window_blocks", "window_factor_percent", "max_attempts", "pause_blocks", "bandwidth_bytes_per_second", "aggregator_reward", "client_reward", "validator_reward", "replica_reward", "aggregators", "clients", "replicas")
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
    def __init__(self, name: _Optional[str] = ..., rule: _Optional[str] = ..., length: _Optional[int] = ..., chunk_values: _Optional[int] = ..., fraction_bits: _Optional[int] = ..., rounds: _Optional[int] = ..., clients_per_round: _Optional[int] = ..., min_updates: _Optional[int] = ..., max_weight: _Optional[int] = ..., training_blocks: _Optional[int] = ..., aggregation_blocks: _Optional[int] = ..., min_window_blocks: _Optional[int] = ..., window_factor_percent: _Optional[int] = ..., max_attempts: _Optional[int] = ..., pause_blocks: _Optional[int] = ..., bandwidth_bytes_per_second: _Optional[int] = ..., aggregator_reward: _Optional[int] = ..., client_reward: _Optional[int] = ..., validator_reward: _Optional[int] = ..., replica_reward: _Optional[int] = ..., aggregators: _Optional[_Iterable[bytes]] = ..., clients: _Optional[_Iterable[bytes]] = ..., replicas: _Optional[_Iterable[bytes]] = ...) -> None: ...

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
    __slots__ = ("task_id", "round", "parent_attempt", "turn", "model_root", "certificate", "trace_root", "rule_weights")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARENT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROOT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ROOT_FIELD_NUMBER: _ClassVar[int]
    RULE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    round: int
    parent_attempt: int
    turn: int
    model_root: bytes
    certificate: _receipt_pb2.Certificate
    trace_root: bytes
    rule_weights: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, task_id: _Optional[int] = ..., round: _Optional[int] = ..., parent_attempt: _Optional[int] = ..., turn: _Optional[int] = ..., model_root: _Optional[bytes] = ..., certificate: _Optional[_Union[_receipt_pb2.Certificate, _Mapping]] = ..., trace_root: _Optional[bytes] = ..., rule_weights: _Optional[_Iterable[int]] = ...) -> None: ...

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

class SubmitFraudProof(_message.Message):
    __slots__ = ("task_id", "attempt_id", "output")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    task_id: int
    attempt_id: int
    output: OutputProof
    def __init__(self, task_id: _Optional[int] = ..., attempt_id: _Optional[int] = ..., output: _Optional[_Union[OutputProof, _Mapping]] = ...) -> None: ...
