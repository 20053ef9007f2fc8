"""The house as its plan draws it: imports point down, one file knows CuPy, and it stays small."""

import ast
import graphlib
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("minigen", "lessons") for path in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGE = [path for name, path in FILES.items() if name.split(".")[0] == "minigen"]

# What stands on what. Everything in minigen/ not named here stands on the floor of nn.
FLOORS = {"backend": 0, "kernels": 0, "autodiff": 1, "ops": 2, "models": 4}
LIBRARY = 3
ROOF = 5  # minigen itself, which opens the doors of all floors; and the lessons


def floor(name):
    parts = name.split(".")
    if parts[0] != "minigen" or len(parts) == 1:
        return ROOF
    return FLOORS.get(parts[1], LIBRARY)


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(name):
    """The full names that a module imports, at its top or inside a function."""
    path = FILES[name]
    here = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = here.split(".")[:len(here.split(".")) + 1 - node.level] if node.level else []
            source = ".".join(up + ([node.module] if node.module else []))
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in FILES else source


def test_imports_point_down():
    for name in FILES:
        for imported in imports(name):
            if imported in FILES:
                assert floor(imported) <= floor(name), f"{name} imports {imported}, a floor above"


def test_there_is_no_import_circle():
    graph = {name: {i for i in imports(name) if i in FILES} - {name} for name in FILES}
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_no_model_imports_another_house():
    for name in FILES:
        if name.startswith("minigen"):
            assert not any(i.split(".")[0] in ("lessons", "tests", "benchmarks", "torch")
                           for i in imports(name)), name


def test_only_the_backend_and_the_kernels_launcher_import_cupy():
    users = {name for name in FILES if any(i.split(".")[0] == "cupy" for i in imports(name))}
    assert "minigen.backend" in users
    assert all(name == "minigen.backend" or name.startswith("minigen.kernels.") for name in users)


def code_lines(path):
    """How many lines hold code: no blank lines, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    lines = set()
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
            tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skip:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                lines -= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_code_lines_are_counted_without_blanks_comments_and_docstrings(tmp_path):
    file = tmp_path / "five.py"
    file.write_text('"""Doc\n\nstring."""\n\nimport os  # why\n# comment\n\n\ndef f(a,\n      b):\n'
                    '    """Doc."""\n    return """two\n    lines"""\n')
    assert code_lines(file) == 5


def test_the_engine_has_at_most_1500_lines_of_code():
    count = sum(code_lines(path) for name, path in FILES.items()
                if name.split(".")[0] == "minigen" and floor(name) in (1, 2)
                or name == "minigen.backend")
    assert 500 < count <= 1500


def test_the_package_has_at_most_5000_lines_of_code():
    assert sum(map(code_lines, PACKAGE)) <= 5000


@pytest.mark.parametrize("name", FILES)
def test_no_line_is_wider_than_100_columns(name):
    wide = [i for i, line in enumerate(FILES[name].read_text(encoding="utf-8").splitlines(), 1)
            if len(line) > 100]
    assert wide == [], f"{FILES[name]}: lines {wide}"


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("minigen")])
def test_every_function_fits_a_screen_and_every_file_says_what_it_is_for(name):
    module = tree(FILES[name])
    assert ast.get_docstring(module), f"{FILES[name]} has no docstring"
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= 60, f"{FILES[name]}: {node.name} has {length} lines"
