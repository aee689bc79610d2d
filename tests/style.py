"""Check what a program can see of how we write: `python tests/style.py [FOLDER ...]`.

Each finding is a line `file:line: what (how to mend it)`; the exit code is 1 if there is one. What
this checks, and why, is in docs/development.md.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = (
    *("pipelines", "dags", "warehouse", "benchmarks", "docker"),
    *("tests/integration", "tests/end_to_end", "tests/stack", "tests/dags", "tests/sql"),
    *("tests/hostile", "tests/unit/contracts", "tests/unit/deliveries", "tests/unit/landing"),
    *("tests/unit/machine", "tests/unit/staging", "tests/unit/tracking", "tests/unit/test_cli.py"),
)
# Words that name nothing: a reader has to run the code to learn what they hold.
EMPTY_NAMES = frozenset(
    {"one", "told", "found", "own", "there", "said", "kept", "here", "way", "seen", "thing"}
)
RIDDLES = frozenset({"What", "Whether", "Which", "Those", "How", "Who", "When", "Where", "Whose"})
IMPERATIVES = """
Abort Accept Account Acknowledge Add Advise Aggregate Allow Announce Append Apply Apportion
Archive Arrange Ask Assert Assign Attach Await Backfill Begin Bind Break Bring Build Cache Call
Cancel Cast Catch Change Check Choose Clean Clear Close Collect Combine Commit Compare Compile
Complete Compress Compute Configure Confirm Connect Continue Convert Copy Correct Count Create
Cut Damage Declare Decode Decompress Delete Deliver Derive Describe Detect Discard Discover
Display Drain Draw Drop Edit Encode End Ensure Enter Escape Estimate Examine Exit Expand Export
Extract Fail Feed Fetch Fill Filter Find Finish Fit Flag Flush Fold Follow Forget Format
Generate Get Give Go Grade Group Guard Halve Handle Hash Hold Identify Ignore Import Infer
Insert Inspect Interpret Invert Iterate Join Judge Keep Kill Land Lay Learn Leave Let Limit List
Load Locate Lock Log Look Make Map Mark Mask Match Measure Mend Merge Migrate Misspell Mount
Move Name Normalise Note Number Observe Open Order Overlay Overrule Pack Parse Partition Pass
Pause Pick Pin Place Plan Point Prefix Prepare Print Probe Process Publish Pull Purge Push Put
Quarantine Query Quote Raise Rank Read Rebuild Receive Recognise Recompute Record Recover Reduce
Refuse Register Reject Release Reload Remove Rename Render Reopen Repair Repeat Replace Report
Request Require Reset Resolve Restate Restore Retire Retry Return Rewrite Roll Round Run Save
Scale Scan Seal Search Select Send Serve Set Settle Shift Shorten Show Sign Silence Skip Sniff
Sort Spell Split Spread Stage Start State Stop Store Strip Submit Sum Summarise Switch Sync Take
Tell Test Throw Track Transform Translate Treat Trigger Trim Try Turn Type Undo Unmount Unpack
Unpause Unpin Unwrap Update Upgrade Use Validate Verify Visit Wait Walk Warn Watch Weigh
Withdraw Withhold Wrap Write Yield
"""
VERBS = frozenset(IMPERATIVES.split())
LAZY = "## Imports inside functions"
HEADERS = ("Grain", "Reads")
WRITES = re.compile(r"^\s*(?:INSERT|UPDATE|DELETE|CREATE|COPY|ALTER|DROP)\b", re.M | re.I)

Finding = tuple[Path, int, str]


def check_python(path: Path, lazy: frozenset[str]) -> Iterator[Finding]:
    """Yield what is wrong with a module's docstrings, names, pragmas and imports."""
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"#\s*fmt:\s*(?:skip|off)", line):
            yield path, number, "fmt: skip (let the formatter decide, or restructure)"
        for document in re.findall(r"\b(?:docs/)?[\w/-]+\.md\b", line):
            places = (PROJECT / document, PROJECT / "docs" / document)
            if not any(place.exists() for place in places):
                yield path, number, f"cites {document}, which is not in the repository"
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            yield from _check_docstring(path, node)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if is_function and not {"benchmarks", "tests"} & set(path.parts):
            yield from _check_imports(path, node, lazy)
        for name, number in _bindings(node):
            if name.strip("_") in EMPTY_NAMES:
                yield path, number, f"`{name}` names nothing (say what it is)"


def _check_docstring(
    path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
) -> Iterator[Finding]:
    docstring = ast.get_docstring(node)
    if not docstring:
        return
    first = docstring.split()[0].strip(".,;:`")
    number = getattr(node, "lineno", 1)
    if first in RIDDLES:
        yield path, number, f"a docstring begins with {first} (say what it does or is)"
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    decorators = {getattr(each, "attr", getattr(each, "id", "")) for each in node.decorator_list}
    if not decorators & {"property", "cached_property"} and first not in VERBS:
        yield path, number, f"a docstring begins with {first} (begin with an imperative verb)"


def _check_imports(
    path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, lazy: frozenset[str]
) -> Iterator[Finding]:
    for inner in ast.walk(node):
        modules: list[str] = []
        if isinstance(inner, ast.ImportFrom) and inner.module:
            modules = [inner.module, *(f"{inner.module}.{alias.name}" for alias in inner.names)]
        elif isinstance(inner, ast.Import):
            modules = [alias.name for alias in inner.names]
        if not modules or any(
            module == name or module.startswith(f"{name}.") for module in modules for name in lazy
        ):
            continue
        yield path, inner.lineno, f"imports {modules[-1]} inside a function (docs/development.md)"


def _bindings(node: ast.AST) -> Iterator[tuple[str, int]]:
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name, node.lineno
        case ast.arg(arg=name):
            yield name, node.lineno
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name, node.lineno


def check_sql(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a .sql file's header and parameters."""
    text = path.read_text(encoding="utf-8")
    header = "".join(re.findall(r"\A(?:--.*\n|\n)*", text))
    needed = HEADERS if "macros" not in path.parts else ()
    needed += ("Writes",) if needed and WRITES.search(text) else ()
    for name in needed:
        if not re.search(rf"^-- {name}:", header, re.M):
            yield path, 1, f"has no `-- {name}:` line at its top"
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(r"'[^']*\$\{", line):
            yield path, number, "fills a value into a literal (bind it: $name)"


def lazy_modules() -> frozenset[str]:
    """Return the modules that docs/development.md lets functions import."""
    document = PROJECT / "docs" / "development.md"
    text = document.read_text(encoding="utf-8") if document.exists() else ""
    section = text.partition(LAZY)[2].partition("\n## ")[0]
    return frozenset(re.findall(r"^\| `([\w.]+)` \|", section, re.M))


def main(folders: list[str]) -> int:
    """Print every finding below `folders`; return 1 if there is one, else 0."""
    findings: list[Finding] = []
    lazy = lazy_modules()
    for folder in folders or FOLDERS:
        root = PROJECT / folder
        paths = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in paths:
            if path.suffix == ".py":
                findings += check_python(path, lazy)
            elif path.suffix == ".sql":
                findings += check_sql(path)
    for path, number, message in findings:
        print(f"{path.relative_to(PROJECT)}:{number}: {message}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
