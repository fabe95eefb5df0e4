from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Receipt(_message.Message):
    __slots__ = ("chain_id", "task_id", "round", "owner", "vector_id", "size_bytes", "retain_until_height", "replica")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    VECTOR_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RETAIN_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    chain_id: str
    task_id: int
    round: int
    owner: bytes
    vector_id: bytes
    size_bytes: int
    retain_until_height: int
    replica: bytes
    def __init__(self, chain_id: _Optional[str] = ..., task_id: _Optional[int] = ..., round: _Optional[int] = ..., owner: _Optional[bytes] = ..., vector_id: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., retain_until_height: _Optional[int] = ..., replica: _Optional[bytes] = ...) -> None: ...

class ReceiptSignature(_message.Message):
    __slots__ = ("replica", "signature")
    REPLICA_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    replica: int
    signature: bytes
    def __init__(self, replica: _Optional[int] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("retain_until_height", "signatures")
    RETAIN_UNTIL_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    retain_until_height: int
    signatures: _containers.RepeatedCompositeFieldContainer[ReceiptSignature]
    def __init__(self, retain_until_height: _Optional[int] = ..., signatures: _Optional[_Iterable[_Union[ReceiptSignature, _Mapping]]] = ...) -> None: ...
