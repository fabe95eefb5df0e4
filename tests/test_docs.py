"""What the documents show is there: commands parse, config files load, links lead somewhere, examples run."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import numpy as np
import pytest

from abci_app.genesis import DEFAULT_PARAMS
from abci_app.transitions import create_task
from optfl.tasks import fill_defaults
from optfl.wire import transaction_pb2
from optfl_cli.cometbft import BUILD_VERSION
from optfl_cli.config import load_config
from optfl_cli.localnet import LocalnetConfig
from optfl_cli.main import cli
from optfl_cli.messages import fill_message
from optfl_cli.node import NodeConfig
from optfl_cli.options import LedgerConfig
from optfl_cli.roles import AggregatorConfig, ClientConfig, ReplicaConfig, TaskConfig, ValidatorConfig

ROOT = Path(__file__).parents[1]
README, OPERATIONS = ROOT / "README.md", ROOT / "docs" / "operations.md"
ECONOMICS = ROOT / "docs" / "economics.md"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

# The config files that documents show, by the name they have there, digits and variables left out.
CONFIGS: dict[str, type[Any]] = {
    "aggregator": AggregatorConfig,
    "client": ClientConfig,
    "ledger": LedgerConfig,
    "localnet": LocalnetConfig,
    "node": NodeConfig,
    "replica": ReplicaConfig,
    "task": TaskConfig,
    "validator": ValidatorConfig,
    "wine": ClientConfig,
}
PARTICIPANTS = ("aggregators", "clients", "replicas")
ZERO_IS_USUAL = {"mode", "arithmetic", "rotation", "vote_epsilon", "vote_theta", "update_bits", "update_shift"}


class Block(NamedTuple):
    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def find_blocks(document: Path) -> Iterator[Block]:
    text = document.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield Block(document, text.count("\n", 0, match.start()) + 2, match[1], match[2])


BLOCKS = [block for document in DOCUMENTS for block in find_blocks(document)]
SHELL = [block for block in BLOCKS if block.language == "sh"]


def find_commands(script: str) -> Iterator[list[str]]:
    """Arguments of each `optfl` in a shell script; variables and substitutions become 1."""
    script = re.sub(r"<<EOF\n.*?^EOF$", "", script.replace("\\\n", " "), flags=re.DOTALL | re.MULTILINE)
    script = re.sub(r"^(\w+)=\$\((.*)\)$", r"\2", script, flags=re.MULTILINE)
    script = re.sub(r"\$\([^()]*\)", "1" * 40, script)
    script = re.sub(r"\$\w+", "1", script)
    for match in re.finditer(r"(?<![\w./-])optfl (?P<arguments>(?:\"[^\"]*\"|[^\n|;&)#\"])*)", script):
        yield shlex.split(match["arguments"])


def resolve(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the arguments lead to, and what is left of them for it; a UsageError if there is none."""
    command: click.Command = cli
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        _, found, arguments = command.resolve_command(click.Context(command), arguments)
        assert found is not None
        command = found
    return command, arguments


COMMANDS = [(block.place, arguments) for block in SHELL for arguments in find_commands(block.text)]


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 50
    assert {arguments[0] for _, arguments in COMMANDS} >= {"localnet", "replica", "client", "task", "tx", "query"}


@pytest.mark.parametrize(("place", "arguments"), COMMANDS, ids=lambda value: value if isinstance(value, str) else None)
def test_every_command_in_a_code_block_parses(place: str, arguments: list[str]) -> None:
    """Command, options, arguments and their types; nothing is run."""
    command, rest = resolve(arguments)
    assert not isinstance(command, click.Group), f"{place}: {' '.join(arguments)} is a group of commands"
    command.make_context("optfl", rest)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_text_exists(document: Path) -> None:
    """`optfl …` between backquotes: the command is there and has these options."""
    for span in re.findall(r"`optfl ([^`\n]*)`", document.read_text(encoding="utf-8")):
        arguments = [word for word in span.split() if "…" not in word]
        for alternative in arguments[-1].split("|") if "|" in span else [None]:
            words = arguments if alternative is None else [*arguments[:-1], alternative]
            command, rest = resolve(words)
            meant = (
                list(command.commands.values()) if isinstance(command, click.Group) else [command]
            )  # `query … --prove`
            known = {option for one in meant for parameter in one.params for option in parameter.opts} | {"--help"}
            assert {word for word in rest if word.startswith("--")} <= known, f"{document.name}: optfl {span}"


def find_config_files() -> Iterator[tuple[str, str, str]]:
    """(place, name, text) of every config file that a document shows, as a block or written by `cat`."""
    for block in BLOCKS:
        if block.language == "toml":
            name = re.match(r"# (\w+)\.toml\n", block.text)
            assert name is not None, f"{block.place} does not begin with the file's name, like # client.toml"
            yield block.place, name[1], block.text
        written: dict[str, str] = {}
        for arrow, name, text in re.findall(r"cat (>>?) (\S+)\.toml <<EOF\n(.*?)^EOF$", block.text, re.S | re.M):
            stem = re.sub(r"\$i|\d+", "", name)
            written[stem] = (written[stem] if arrow == ">>" else "") + text.replace("$i", "0")
        for name, text in written.items():
            yield block.place, name, text


CONFIG_FILES = list(find_config_files())


def test_every_kind_of_config_file_is_shown() -> None:
    assert {name for _, name, _ in CONFIG_FILES} == set(CONFIGS)


@pytest.mark.parametrize(("place", "name", "text"), CONFIG_FILES, ids=[f"{p} {n}" for p, n, _ in CONFIG_FILES])
def test_every_config_file_loads(tmp_path: Path, place: str, name: str, text: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    config = load_config(path, CONFIGS[name])
    if isinstance(config, TaskConfig):
        check_parameters(config.parameters)


def check_parameters(shown: dict[str, Any]) -> None:
    """The ledger would take these parameters, with participants in place of the key files that are named."""
    parameters = transaction_pb2.TaskParameters(length=9930)
    fill_message(parameters, {name: value for name, value in shown.items() if name not in PARTICIPANTS})
    for kind, field in enumerate(PARTICIPANTS):
        getattr(parameters, field).extend(bytes([kind, i]) * 10 for i in range(len(shown[field])))
    filled = transaction_pb2.TaskParameters()
    filled.CopyFrom(parameters)
    fill_defaults(filled)
    create_task.validate(transaction_pb2.CreateTask(parameters=filled, initial_model_root=bytes(32)))
    defaults = {field.name for field, _ in filled.ListFields()} - {field.name for field, _ in parameters.ListFields()}
    unset = {field.name for field in parameters.DESCRIPTOR.fields} - set(shown) - defaults - ZERO_IS_USUAL
    assert unset == {"length"}, "an example has every parameter that has no default"


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "wine"])
def test_every_key_of_a_config_file_is_documented(name: str) -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    shown = next(block.text for block in find_blocks(OPERATIONS) if block.text.startswith(f"# {name}.toml"))
    for field in dataclasses.fields(CONFIGS[name]):
        assert re.search(rf"^(\[)?{field.name}\b", shown, re.MULTILINE) or f"| `{field.name}` |" in text, field.name


def test_every_parameter_is_in_its_table() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+)", text, re.MULTILINE)
    assert {name: int(value.replace(",", "")) for name, value in rows if name in DEFAULT_PARAMS} == DEFAULT_PARAMS
    for field in transaction_pb2.TaskParameters.DESCRIPTOR.fields:
        assert f"| `{field.name}` |" in text, field.name


# What a task says of its arithmetic, its data and its participants; all else is about tokens or time.
NEITHER_MONEY_NOR_TIME = {
    *("name", "rule", "length", "chunk_values", "fraction_bits", "min_updates", "max_weight"),
    *("update_bits", "update_shift", "mode", "arithmetic", "rotation", "vote_epsilon", "vote_theta", *PARTICIPANTS),
}


def test_economics_has_every_parameter_of_money_or_time_with_its_default() -> None:
    text = ECONOMICS.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE))
    parameters = {field.name for field in transaction_pb2.TaskParameters.DESCRIPTOR.fields} - NEITHER_MONEY_NOR_TIME
    assert set(rows) == parameters | set(DEFAULT_PARAMS)
    filled = transaction_pb2.TaskParameters(min_window_blocks=77)
    fill_defaults(filled)
    defaults = {name: str(getattr(filled, name) or "–") for name in parameters - {"min_window_blocks"}}
    defaults |= {name: "`min_window_blocks`" for name, value in defaults.items() if value == "77"}
    defaults |= {"min_window_blocks": "–"} | {name: str(value) for name, value in DEFAULT_PARAMS.items()}
    assert rows == defaults


def test_economics_has_the_constants_of_the_code() -> None:
    text = ECONOMICS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)\.([A-Z_]+)` \| (\d+) \|", text, re.MULTILINE)
    assert len(rows) == 10
    for module, name, value in rows:
        assert getattr(importlib.import_module(module), name) == int(value), name


def make_anchor(heading: str) -> str:
    """As GitHub makes it."""
    plain = re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = document if not path else (document.parent / path).resolve()
        assert found.exists(), f"{document.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {make_anchor(heading) for heading in headings}, f"{document.name} links to {target}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named = re.findall(r"`make (\w+)", text)
        named += [m for b in find_blocks(document) for m in re.findall(r"^make (\w+)", b.text, re.MULTILINE)]
        assert set(named) <= targets, document.name


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.place)
def test_python_in_a_document_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


def load_example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wine() -> ModuleType:
    return load_example("wine")


def test_the_example_in_the_readme_is_the_file() -> None:
    example = (ROOT / "examples" / "wine.py").read_text(encoding="utf-8")
    assert example in [block.text for block in find_blocks(README)]


def test_the_example_learns(wine: ModuleType) -> None:
    trainer, model = wine.make_trainer(client=0, clients=3), wine.make_model(seed=1)
    update, weight = trainer.train(model, 1)
    assert (update.dtype, update.shape, weight) == (np.dtype(np.int16), model.shape, len(range(0, 133, 3)))
    assert trainer.evaluate(model + update) > max(0.8, trainer.evaluate(model))


def test_the_float_rules_are_functions_of_their_arguments() -> None:
    rules = load_example("float_rule")
    updates = [np.random.default_rng(i).normal(size=20).astype(np.float32) for i in range(5)]
    updates[4] *= 1000
    clipped = rules.clipped_mean(updates, [1, 2, 3, 4, 5])
    assert clipped.shape == (20,)
    assert np.abs(clipped).max() < 5, "one long update is cut"
    assert np.array_equal(clipped, rules.clipped_mean(updates, [1, 2, 3, 4, 5]))
    pytest.importorskip("flwr")
    assert np.allclose(rules.fedavg_of_flower(updates, [1] * 5), np.mean(updates, axis=0), atol=1e-3)


# Traces of the machines that this was written on, and names of registries: neither belongs into a repository, so they
# are not written out here either.
FOLDERS = ["root/", "home/[a-z]", "work/", "tmp/(?!optfl)[a-z]+/"]
HOSTS = [("pypi", "org"), ("proxy", "golang"), ("docker", "io"), ("ghcr", "io")]
FOREIGN = re.compile(
    "|".join(
        [f"/{folder}" for folder in FOLDERS]
        + [r"\.".join(host) for host in HOSTS]
        + ["python" + "hosted", "index-" + "url"]
    )
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a checkout of git")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    for path in {*paths, *DOCUMENTS, *(ROOT / "docker").iterdir()}:
        if path.is_file():
            found = FOREIGN.search(path.read_bytes().decode("utf-8", errors="ignore"))
            assert found is None, f"{path.relative_to(ROOT)} names {found and found[0]}"


def test_the_image_has_the_version_that_is_built_elsewhere_and_every_package() -> None:
    assert f"cmd/cometbft@{BUILD_VERSION}\n" in (ROOT / "docker" / "Dockerfile").read_text()
    copied = (ROOT / "docker" / "Dockerfile.dockerignore").read_text().split()
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}  # they run in a checkout
    needed = [*packages, "pyproject.toml", "README.md", "LICENSE"]
    assert {f"!{name}" for name in needed} <= set(copied)


def test_the_containers_run_commands_that_exist() -> None:
    """A service for each host that the net is made for, which starts the node that was made for it."""
    text = (ROOT / "docker" / "compose.yaml").read_text()
    (made,) = find_commands(text)
    command, rest = resolve(made)
    hosts = command.make_context("optfl", rest).params["hosts"]
    started = [shlex.split(re.sub(r"[\[\],\"]", " ", line)) for line in re.findall(r"command: (\[.*\])", text)]
    for host, arguments in zip(hosts, started, strict=True):
        command, rest = resolve(arguments)
        assert command.make_context("optfl", rest).params["home"] == Path("/net") / host
        assert f"\n  {host}:\n" in text
