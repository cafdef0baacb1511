"""The plan of the house, held as tests: who may import, refer to and write what, and what must stand nowhere."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.loader import MigrationLoader

CHECKOUT = Path(__file__).resolve().parent.parent
# From the top of the house to the bottom; each may look downwards only.
ROOMS = ["config", "analytics", "campaigns", "loyalty", "members", "staff"]
DEPTH = {room: depth for depth, room in enumerate(ROOMS)}

LEDGER = CHECKOUT / "loyalty" / "ledger"
LEDGER_MODELS = {"Entry", "Lot", "Draw", "Account"}
LEDGER_WRITE = re.compile(
    r"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE(\s+TABLE)?|COPY|MERGE\s+INTO)\s+(ONLY\s+)?"
    r"loyalty_(entry|lot|draw|account)\b",
    re.IGNORECASE,
)
WRITERS = {"create", "bulk_create", "get_or_create", "update_or_create", "update", "bulk_update", "delete", "save"}
WRITERS |= {f"a{name}" for name in WRITERS}

# Where SQL is put together from other text of ours than named constants, and what keeps input out of it.
# Values are parameters there as everywhere.
COMPOSED_SQL = {
    "analytics/": "names of tables and columns from declared facts and metrics",
    "loyalty/verify.py": "each check is a constant query, wrapped to limit its rows",
    "loyalty/tiers/": "the measure of a tier is one of a fixed list of expressions",
    "members/conditions/": "the compiler of conditions: fragments are constants of registered facts",
    "members/facts/": "aggregates of registered facts",
    "members/lookup.py": "the ways to look somebody up, each a constant fragment",
}


def sources(*, tests: bool = False) -> Iterator[Path]:
    """Our Python files, without migrations."""
    for room in [*ROOMS, "bench", *(["tests"] if tests else [])]:
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the repository, and nothing that was installed or built."""
    skipped = {".git", ".venv", ".data", "build", "staticfiles", "__pycache__", ".hypothesis"}
    for directory, below, files in os.walk(CHECKOUT):
        below[:] = [name for name in below if name not in skipped and not name.endswith("_cache")]
        for file in files:
            path = Path(directory, file)
            try:
                yield path, path.read_text()
            except (UnicodeDecodeError, FileNotFoundError):
                continue


def name(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


def test_rooms_import_downwards_only():
    outcome = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout


def test_foreign_keys_point_downwards_only():
    upwards = [
        f"{model._meta.label}.{field.name} → {field.related_model._meta.label}"
        for model in apps.get_models()
        if model._meta.app_label in DEPTH
        for field in model._meta.get_fields()
        if field.is_relation
        and not field.auto_created
        and field.related_model is not None
        and DEPTH.get(field.related_model._meta.app_label, len(ROOMS)) < DEPTH[model._meta.app_label]
    ]
    assert not upwards


@pytest.mark.django_db
def test_migrations_depend_downwards_only_and_can_be_reversed():
    loader = MigrationLoader(connection)
    ours = {key: migration for key, migration in loader.disk_migrations.items() if key[0] in DEPTH}
    upwards = [
        f"{app}.{migration.name} → {other}.{dependency}"
        for (app, _), migration in ours.items()
        for other, dependency in migration.dependencies
        if DEPTH.get(other, len(ROOMS)) < DEPTH[app]
    ]
    assert not upwards
    one_way = [
        f"{app}.{migration.name}: {operation.describe()}"
        for (app, _), migration in ours.items()
        for operation in migration.operations
        if not operation.reversible
    ]
    assert not one_way
    assert not [key for key in ours if "_auto_" in key[1] or "merge" in key[1]]


def _called_on(call: ast.Call) -> str | None:
    """The name at the root of ``Name.objects.filter(...).update(...)``."""
    node: ast.expr = call.func
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else None


def test_only_the_ledger_writes_points():
    found = []
    for path in sources():
        if path.is_relative_to(LEDGER):
            continue
        tree = ast.parse(path.read_text())
        # A model of another room may have one of these names.
        from_loyalty = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "loyalty.models"
            for alias in node.names
            if alias.name in LEDGER_MODELS
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and LEDGER_WRITE.search(node.value):
                found.append(f"{name(path)}:{node.lineno} writes with SQL")
            elif isinstance(node, ast.Call):
                made = isinstance(node.func, ast.Name) and node.func.id in from_loyalty
                writes = isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS
                if made or (writes and _called_on(node) in from_loyalty):
                    found.append(f"{name(path)}:{node.lineno} writes with the model")
    assert not found


SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|TRUNCATE|CREATE TABLE|WHERE)\b")
CONSTANT = re.compile(r"_*[A-Z][A-Z0-9_]*")


def _is_constant(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and bool(CONSTANT.fullmatch(node.id))) or (
        isinstance(node, ast.Attribute) and bool(CONSTANT.fullmatch(node.attr))
    )


def _is_formatted(node: ast.AST) -> bool:
    """Whether this is SQL text with something in it that is not a constant. Not psycopg's SQL().format()."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        put_in = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return bool(SQL.search(text)) and not all(_is_constant(value) for value in put_in)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        left = node.left
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        left = node.func.value
    else:
        return False
    return isinstance(left, ast.Constant) and isinstance(left.value, str) and bool(SQL.search(left.value))


def test_sql_is_not_formatted():
    found = {
        f"{name(path)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if _is_formatted(node)
    }
    unexplained = [place for place in found if not place.startswith(tuple(COMPOSED_SQL))]
    assert not unexplained, "Use parameters, or psycopg.sql for names; or say in COMPOSED_SQL what keeps input out."
    unused = [place for place in COMPOSED_SQL if not any(hit.startswith(place) for hit in found)]
    assert not unused


INLINE = re.compile(
    r"""\sstyle\s*=\s*["'{]
      | <style\b
      | \son[a-z]+\s*=\s*["']
      | javascript:
      | \bhx-on[:-]
      | \bhx-(vals|headers)\s*=\s*["']js:
      | <script\b(?![^>]*\b(src\s*=|type\s*=\s*["']application/(ld\+)?json["']))[^>]*>
    """,
    re.VERBOSE | re.IGNORECASE,
)


def test_no_page_has_inline_style_or_script():
    found = []
    for path in sorted((CHECKOUT / "templates").rglob("*.html")):
        # A mail client has no style sheet of ours.
        if "email" in path.parts or "mail" in path.parts:
            continue
        text = re.sub(r"{%\s*comment\s*%}.*?{%\s*endcomment\s*%}|{#.*?#}", "", path.read_text(), flags=re.DOTALL)
        found += [f"{name(path)}: {match.group(0).strip()}" for match in INLINE.finditer(text)]
    assert not found


# In two parts, so that this file does not hold them itself.
FOREIGN_HOSTS = [
    "".join(parts)
    for parts in (
        ("pypi", ".org"),
        ("python", "hosted.org"),
        ("npm", "js.org"),
        ("npm", "js.com"),
        ("unpkg", ".com"),
        ("js", "delivr"),
        ("cdn", "js.cloudflare"),
        ("cdn", ".plot.ly"),
        ("fonts.google", "apis"),
        ("fonts.g", "static"),
        ("ajax.google", "apis"),
        ("--index", "-url"),
        ("--extra-index", "-url"),
        ("--trusted", "-host"),
    )
]


def test_nothing_names_a_package_registry_or_a_content_network():
    found = [f"{name(path)}: {host}" for path, text in texts() for host in FOREIGN_HOSTS if host in text.lower()]
    assert not found


def test_modules_stay_readable():
    long = {name(path): lines for path in sources() if (lines := path.read_text().count("\n")) > 450}
    assert not long, "Split it by noun into a package."


def test_no_module_is_named_for_nothing():
    vague = {"utils", "helpers", "common", "services", "managers", "misc", "util", "helper"}
    assert not [name(path) for path in sources() if vague & {path.stem, path.parent.name}]
