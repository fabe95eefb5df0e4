"""The committed protobuf code is what `make proto` makes of the sources in proto/."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[1]


def test_committed_code_is_generated_from_the_sources(tmp_path: Path) -> None:
    sources = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto").rglob("*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}"]
    arguments += [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main([*arguments, *sources]) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2.py*"))
    assert len(made) == 2 * len(sources)
    for path in made:
        assert (ROOT / path).read_text() == (tmp_path / path).read_text(), f"{path} is stale; run `make proto`"
