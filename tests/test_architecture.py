"""Who may import whom. Each test names the decision that would go wrong without it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("bench", "costmodel", "reports")  # data flows from left to right, imports look only to the left
COMPOSITION_ROOT = "bench.cli"

CLOUD = r"costmodel(\.\w+)*\.refresh\w*|(bench|costmodel)(\.\w+)*\.s3\w*"

# A heavy or intrusive library, and the modules (as a pattern over their whole names) that alone may import it.
CONFINED = {
    "locust": r"bench\.loadgen\.(worker\w*|locustfile)",  # importing it monkey-patches the interpreter
    "gevent": r"bench\.loadgen\.(worker\w*|locustfile)",
    "pyflink": r"bench\.jobs(\..+)?",  # starts a JVM, and ties what imports it to PyFlink's pins
    "boto3": CLOUD,  # looks for credentials, talks to clouds
    "botocore": CLOUD,
    "matplotlib": r"reports\.figures(\..+)?",  # a second of start-up
    "docker": r"bench\.backends\.containers\.\w+",  # the other backends start without it
    "testcontainers": r"bench\.backends\.containers\.ephemeral",  # reads its own configuration files
    "jgo": r"bench\.toolchain\.\w+",  # nothing else downloads
}

# Modules longer than 400 lines, each with its reason.
LONG: dict[str, str] = {
    "bench.metrics": "the one registry: a row a metric, and its page",
    "reports.report": "every block and figure that a report can be made of: what each renderer has to know",
    "bench.scenario.sections": "every key a scenario may say, with unit and default: found in one place or not at all",
}

VAGUE = {"base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def existing_packages() -> list[str]:
    return [name for name in LAYERS if (ROOT / name).is_dir()]


def files() -> dict[str, Path]:
    """Every Python file of every package, by module name."""
    found = {}
    for package in existing_packages():
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*existing_packages(), include_external_packages=True, cache_dir=None)


def test_no_file_escapes_the_rules_below(graph: grimp.ImportGraph) -> None:
    """A folder without `__init__.py` is invisible to the import graph: its violations would pass."""
    assert sorted(set(files()) - graph.modules) == []


def test_imports_look_only_leftwards(graph: grimp.ImportGraph) -> None:
    """The bench must run without prices and figures, and prices without figures."""
    wrong = [
        f"{importer} imports {imported}"
        for importer in graph.modules
        if _layer(importer) >= 0
        for imported in graph.find_modules_directly_imported_by(importer)
        if not _is_root(importer) and _layer(imported) > _layer(importer)
    ]
    assert sorted(wrong) == []


def test_the_composition_root_looks_right_only_inside_functions(graph: grimp.ImportGraph) -> None:
    """`--help` must not load matplotlib and every price."""
    wrong = []
    for module, path in files().items():
        if not _is_root(module):
            continue
        inside = set()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lazy = (ast.FunctionDef, ast.If)  # `if TYPE_CHECKING` never runs
        for block in (n for n in ast.walk(tree) if isinstance(n, lazy)):
            inside.update(n.lineno for n in ast.walk(block) if isinstance(n, ast.Import | ast.ImportFrom))
        wrong += [
            f"{module} line {detail['line_number']}: {detail['line_contents']}"
            for right in graph.modules
            if _layer(right) > 0
            for detail in graph.get_import_details(importer=module, imported=right)
            if detail["line_number"] not in inside
        ]
    assert wrong == []


def test_nothing_imports_the_composition_root(graph: grimp.ImportGraph) -> None:
    """Whoever did would look right through it."""
    roots = {module for module in graph.modules if _is_root(module)}
    importers = {m for root in roots for m in graph.find_modules_that_directly_import(root)}
    assert roots
    assert importers - roots == set()


@pytest.mark.parametrize("library", CONFINED)
def test_a_library_with_side_effects_stays_where_it_belongs(graph: grimp.ImportGraph, library: str) -> None:
    importers = graph.find_modules_that_directly_import(library) if library in graph.modules else set()
    assert sorted(m for m in importers if not re.fullmatch(CONFINED[library], m)) == []


def test_nobody_imports_what_imports_locust(graph: grimp.ImportGraph) -> None:
    """One import of the generator's child module would monkey-patch the measuring process, even inside a function."""
    children = graph.find_modules_that_directly_import("locust") if "locust" in graph.modules else set()
    importers = {(child, m) for child in children for m in graph.find_modules_that_directly_import(child)}
    assert sorted((child, m) for child, m in importers if m not in children) == []


def test_no_module_has_a_name_that_means_nothing() -> None:
    assert sorted(m for m in files() if VAGUE & set(m.split("."))) == []


def test_a_long_module_has_a_reason() -> None:
    """And a reason whose module has become short again goes."""
    long = {name for name, path in files().items() if len(path.read_text(encoding="utf-8").splitlines()) > 400}
    assert long == set(LONG)
    assert all(LONG.values())


def _is_root(module: str) -> bool:
    return module == COMPOSITION_ROOT or module.startswith(f"{COMPOSITION_ROOT}.")


def _layer(module: str) -> int:
    """Position of the module's package in LAYERS; -1 for a library."""
    package = module.split(".", maxsplit=1)[0]
    return LAYERS.index(package) if package in LAYERS else -1
