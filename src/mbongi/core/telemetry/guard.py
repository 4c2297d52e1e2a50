"""What a tenant's statement may be. The engine has no users, so the gateway looks at the statement's syntax tree.

Two walls, each enough for a plain query. The engine adds ``tenant_id = N`` to every read of every table and runs the
statement read-only, so it cannot be switched off. And only statements whose tree (as the engine itself parses it)
holds nothing but named tables and harmless functions are run at all: table functions such as ``merge`` read beneath
the filter, and ``file`` reads the disk.
"""

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from mbongi.core.telemetry.engine import Engine, Statement, quoted
from mbongi.core.telemetry.errors import StoreRefused

READABLE_SYSTEM_TABLES = frozenset({"system.one", "system.settings"})
"""The client library reads its settings at the start; neither table says anything of other tenants."""
_TABLE_FUNCTIONS = frozenset({"numbers", "view"})
_CATEGORIES = frozenset(
    [
        "Arithmetic",
        "Arrays",
        "Bit",
        "Bitmap",
        "Comparison",
        "Conditional",
        "Dates and Times",
        "Distance",
        "Encoding",
        "Hash",
        "IP Address",
        "JSON",
        "Logical",
        "Map",
        "Mathematical",
        "Null",
        "Nullable",
        "Rounding",
        "String",
        "String Replacement",
        "String Search",
        "String Splitting",
        "Time Series",
        "Time Window",
        "Tuple",
        "Type Conversion",
        "URL",
        "UUID",
    ]
)
_MORE_FUNCTIONS = frozenset(
    [
        "lambda",
        "_cast",
        "version",
        "timezone",
        "servertimezone",
        "currentdatabase",
        "transform",
        "formatreadablequantity",
        "formatreadablesize",
        "formatreadabletimedelta",
        "isfinite",
        "isinfinite",
        "isnan",
        "tuple",
        "array",
        "cast",
        "in",
        "notin",
        "globalin",
        "globalnotin",
        "exists",
        "identity",
        "ignore",
        "tocolumntypename",
        "totypename",
    ]
)
_NEVER = re.compile(r"^(dict|joinget|file$|filesystem|hascolumnintable|sleep|get|python|ai[a-z]|remote|url$|s3)")
_COMBINATORS = re.compile(
    r"(simplestate|mergestate|state|merge|if|array|map|foreach|ornull|ordefault|distinct|resample|argmin|argmax)$"
)
_IN = frozenset({"in", "notin", "globalin", "globalnotin", "nullin", "notnullin", "globalnullin", "globalnotnullin"})
_READONLY = 164


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the syntax tree: what it is, what it is called, and the nodes under it."""

    kind: str
    name: str
    children: tuple["Node", ...]

    def walk(self) -> Iterator["Node"]:
        """This node and all beneath it."""
        yield self
        for child in self.children:
            yield from child.walk()


class Guard:
    """Checks tenants' statements, and says how the engine must be set to run them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._functions: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def final_settings(self, tenant_id: int) -> str:
        """The settings that confine a statement to one tenant's rows, read-only: every table is named, and one
        without a tenant shows nothing."""
        filters = {"system.parts": "0", "system.processes": "0", "system.query_log": "0"}
        for database, table, has_tenant in self._tables():
            filters[f"{database}.{table}"] = f"tenant_id = {int(tenant_id)}" if has_tenant else "0"
        terms = ", ".join(f"{quoted(table)}: {quoted(term)}" for table, term in filters.items())
        return f"additional_table_filters = {{{terms}}}, allow_introspection_functions = 0, readonly = 1"

    def check(self, sql: str, parameters: dict[str, str]) -> None:
        """Raises StoreRefused when a tenant may not run this, saying why; also when it does not parse."""
        if ";" in sql.rstrip().rstrip(";"):
            raise _not_allowed("more than one statement, or a semicolon in a text")
        listing = self._engine.run(Statement(f"EXPLAIN AST {sql}", "TSVRaw", parameters)).body.decode(
            "utf-8", "replace"
        )
        tree = parse_tree(listing)
        if tree.kind not in {"SelectWithUnionQuery", "SelectIntersectExceptQuery"}:
            raise _not_allowed(f"{tree.kind}: only SELECT is open to tenants")
        if any(child.kind not in {"ExpressionList", "Identifier"} for child in tree.children):
            raise _not_allowed("INTO OUTFILE and SETTINGS")
        tables = {f"{database}.{table}" for database, table, has_tenant in self._tables() if has_tenant}
        for node in tree.walk():
            self._check_node(node, tables)

    def _check_node(self, node: Node, tables: set[str]) -> None:
        if node.kind == "TableExpression":
            for child in node.children:
                if child.kind == "Function" and child.name.lower() not in _TABLE_FUNCTIONS:
                    raise _not_allowed(f"table function {child.name}")
        elif node.kind == "TableIdentifier":
            # A name without a database is a table of ours, whose filter holds, or a name that WITH gave.
            if "." in node.name and node.name not in tables | READABLE_SYSTEM_TABLES:
                raise _not_allowed(f"table {node.name}")
        elif node.kind == "Function":
            self._check_function(node)
        elif node.kind in {"Set", "SetQuery", "Explain", "ShowTables"}:
            raise _not_allowed(node.kind)

    def _check_function(self, node: Node) -> None:
        name = node.name.lower()
        if name in _TABLE_FUNCTIONS:
            return
        if name in _IN:
            arguments = node.children[0].children if node.children else ()
            if any(argument.kind in {"Identifier", "TableIdentifier"} for argument in arguments[1:]):
                raise _not_allowed("IN with the name of a table: write IN (SELECT ...)")
        base = name
        while base not in self._known() and _COMBINATORS.search(base):
            base = _COMBINATORS.sub("", base)
        if base not in self._known():
            raise _not_allowed(f"function {node.name}")

    def _known(self) -> frozenset[str]:
        with self._lock:
            if not self._functions:
                sql = "SELECT name, is_aggregate, categories, alias_to FROM system.functions"
                rows = [line.split("\t") for line in self._lines(sql)]
                allowed = {name.lower() for name, aggregate, kind, _ in rows if aggregate == "1" or _harmless(kind)}
                allowed |= {name.lower() for name, *_, alias in rows if alias and alias.lower() in allowed}
                self._functions = frozenset(name for name in allowed | _MORE_FUNCTIONS if not _NEVER.match(name))
            return self._functions

    def _tables(self) -> list[tuple[str, str, bool]]:
        sql = (
            "SELECT database, name, (database, name) IN (SELECT database, table FROM system.columns "
            "WHERE name = 'tenant_id') FROM system.tables WHERE database NOT IN "
            "('system', 'INFORMATION_SCHEMA', 'information_schema')"
        )
        rows = [line.split("\t") for line in self._lines(sql)]
        return [(database, name, tenant == "1") for database, name, tenant in rows]

    def _lines(self, sql: str) -> list[str]:
        return self._engine.run(Statement(sql, "TSVRaw")).body.decode().splitlines()


def _harmless(categories: str) -> bool:
    return bool(categories) and all(category in _CATEGORIES for category in categories.split(", "))


def parse_tree(listing: str) -> Node:
    """The tree of an ``EXPLAIN AST`` listing: one node a line, one space of indentation a level.

    Raises StoreRefused when it is not such a listing.
    """
    stack: list[tuple[int, str, str, list[Node]]] = []
    roots: list[Node] = []

    def close(depth: int) -> None:
        while stack and stack[-1][0] >= depth:
            _, kind, name, children = stack.pop()
            (stack[-1][3] if stack else roots).append(Node(kind, name, tuple(children)))

    for line in listing.splitlines():
        text = line.lstrip(" ")
        if not text:
            continue
        depth = len(line) - len(text)
        close(depth)
        kind, _, rest = text.partition(" ")
        name = re.sub(r"\s*(\(alias .*\))?\s*(\(children \d+\))?$", "", rest)
        stack.append((depth, kind, name, []))
    close(0)
    if len(roots) != 1:
        raise _not_allowed("a statement that has no single syntax tree")
    return roots[0]


def _not_allowed(what: str) -> StoreRefused:
    return StoreRefused(f"Code: {_READONLY}. DB::Exception: Not open to tenants: {what}. (READONLY)", _READONLY)
