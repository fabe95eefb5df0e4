"""House rules that no linter knows, held over the source of everything that ships."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["optfl", "abci_app", "offchain", "optfl_sim", "optfl_cli"]


def find_sources(*folders: str) -> list[Path]:
    """Python files under these folders, but for generated ones."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")) if "_pb2" not in path.name]


SHIPPED = find_sources(*PACKAGES)
# What every node must compute alike (invariant 1): the protocol, and the state machine without its shell.
SHELL = {"__main__.py", "application.py", "beacon_file.py", "server.py", "store.py"}
CONSENSUS = [
    path
    for path in find_sources("optfl", "abci_app")
    if not (path.parent.name == "abci_app" and path.name in SHELL) and "wire" not in path.parts
]


def walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(), filename=str(path)))


def cite(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert len(SHIPPED) > 80
    names = {name_of(path) for path in CONSENSUS}
    assert {"abci_app/ledger.py", "abci_app/state/rounds.py", "optfl/fraud.py", "optfl/rules/median.py"} <= names
    assert {"abci_app/block_end/settlement.py", "abci_app/transitions/unbond.py"} <= names


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_no_bare_assert(path: Path) -> None:
    """`python -O` removes them: our own bug must raise all the same (house rule 5)."""
    assert [cite(path, node) for node in walk(path) if isinstance(node, ast.Assert)] == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Catches everything, or everything but what ends the process."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(c is None or (isinstance(c, ast.Name) and c.id in ("Exception", "BaseException")) for c in caught)


def says_nothing(handler: ast.ExceptHandler) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in handler.body
    )


@pytest.mark.parametrize("path", SHIPPED, ids=name_of)
def test_no_exception_is_swallowed_whole(path: Path) -> None:
    """Neither `except:`, nor `except Exception:` that does nothing."""
    handlers = [node for node in walk(path) if isinstance(node, ast.ExceptHandler)]
    assert [cite(path, h) for h in handlers if h.type is None or (is_broad(h) and says_nothing(h))] == []


FORBIDDEN_MODULES = {"time", "random", "datetime", "secrets", "uuid", "os", "socket", "threading", "asyncio", "decimal"}


@pytest.mark.parametrize("path", CONSENSUS, ids=name_of)
def test_consensus_code_imports_no_clock_and_no_chance(path: Path) -> None:
    imported = []
    for node in walk(path):
        if isinstance(node, ast.Import):
            imported += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append((node.module or "", node))
    assert [cite(path, node) for name, node in imported if name.split(".")[0] in FORBIDDEN_MODULES] == []


def is_float(node: ast.AST) -> bool:
    """A literal, a true division, a conversion, or one of numpy's types."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float | complex)
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return isinstance(node.op, ast.Div)
    if isinstance(node, ast.Name):
        return node.id in ("float", "complex")
    if isinstance(node, ast.Attribute):
        return node.attr.startswith(("float", "complex", "double")) or node.attr in ("mean", "median", "average", "std")
    return False


@pytest.mark.parametrize("path", CONSENSUS, ids=name_of)
def test_consensus_code_has_no_floats(path: Path) -> None:
    assert [cite(path, node) for node in walk(path) if is_float(node)] == []


SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}


def is_set(node: ast.AST, names: set[str]) -> bool:
    """A set as far as the source shows: written out, made by a call, combined, or a name bound to one."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return node.func.id in ("set", "frozenset")
        return isinstance(node.func, ast.Attribute) and node.func.attr in SET_METHODS
    if isinstance(node, ast.BinOp):
        return is_set(node.left, names) or is_set(node.right, names)
    return isinstance(node, ast.Name) and node.id in names


def is_set_type(annotation: ast.AST | None) -> bool:
    inner = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(inner, ast.Name) and inner.id in ("set", "frozenset", "Set")


def find_set_names(tree: list[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Assign) and is_set(node.value, names):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and is_set_type(node.annotation) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.arg) and is_set_type(node.annotation):
            names.add(node.arg)
    return names


def find_set_orders(tree: list[ast.AST]) -> list[ast.AST]:
    """Where the order of a set is taken: loops, comprehensions, sequences made of it, its first or next element."""
    names = find_set_names(tree)
    found: list[ast.AST] = []
    for node in tree:
        over: list[ast.AST] = []
        if isinstance(node, ast.For | ast.comprehension):
            over = [node.iter]
        elif isinstance(node, ast.List | ast.Tuple):
            over = [element.value for element in node.elts if isinstance(element, ast.Starred)]
        elif isinstance(node, ast.Call):
            over = [argument.value for argument in node.args if isinstance(argument, ast.Starred)]
            if isinstance(node.func, ast.Name):
                over += node.args[:1] * (node.func.id in ("list", "tuple", "iter", "enumerate", "next"))
            elif isinstance(node.func, ast.Attribute) and node.func.attr in ("join", "extend", "fromkeys"):
                over += node.args[:1]
            elif isinstance(node.func, ast.Attribute) and node.func.attr == "pop":
                over.append(node.func.value)
        found += [node for iterated in over if is_set(iterated, names)]
    return found


@pytest.mark.parametrize("path", CONSENSUS, ids=name_of)
def test_consensus_code_takes_no_order_from_a_set(path: Path) -> None:
    """It differs from process to process; that of `sorted` does not."""
    assert [cite(path, node) for node in find_set_orders(list(walk(path)))] == []


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("for x in {1, 2}: pass", True),
        ("s = set(y)\nfor x in s: pass", True),
        ("[x for x in a.union(b)]", True),
        ("def f(s: set[int]): return list(s)", True),
        ("s: set[int] = x\ns.pop()", True),
        ("f(*set(y))", True),
        ("[*a, *set(y)]", True),
        ("sorted({1, 2})", False),
        ("for x in sorted(set(y)): pass", False),
        ("1 in {1, 2}", False),
        ("{*a, *b}", False),
    ],
)
def test_the_rule_on_sets_finds_what_it_should(source: str, is_found: bool) -> None:
    assert bool(find_set_orders(list(ast.walk(ast.parse(source))))) == is_found


@pytest.mark.parametrize("source", ["x = 1.0", "x = a / b", "x /= 2", "x = float(y)", "x = np.float64(1)", "a.mean()"])
def test_the_rule_on_floats_finds_what_it_should(source: str) -> None:
    assert any(is_float(node) for node in ast.walk(ast.parse(source)))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_lives_in_it(package: str) -> None:
    """House rule 10: a package's docstring says what lives there."""
    for path in sorted((ROOT / package).rglob("__init__.py")):
        if path.parent.name == "wire":
            continue  # generated
        assert ast.get_docstring(ast.parse(path.read_text())), name_of(path)
