"""Measure the code of a checkout: `python benchmarks/code.py [CHECKOUT]`.

Prints lines per room, the longest modules and functions, comment lines per 100 lines of code, the
first words of docstrings, and how many names name nothing.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path

EMPTY_NAMES = frozenset(
    {"one", "told", "found", "own", "there", "said", "kept", "here", "way", "seen", "thing"}
)
RIDDLES = ("What", "Whether", "Which", "Those", "How", "Who", "When", "Where")


def measure(checkout: Path) -> None:
    """Print the measurements of `pipelines/` and `dags/` in a checkout."""
    package = checkout / "pipelines"
    paths = [*package.rglob("*.py"), *(checkout / "dags").rglob("*.py")]
    rooms: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    first_words: Counter[str] = Counter()
    names: Counter[bool] = Counter()
    code_lines = comment_lines = whole_lines = pragmas = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        inside = path.relative_to(package if path.is_relative_to(package) else checkout)
        rooms[inside.parts[0] if len(inside.parts) > 1 else "(loose modules)"] += lines
        modules[str(inside)] = lines
        pragmas += len(re.findall(r"# fmt: ?(?:skip|off)", text))
        comments = [
            token
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT
        ]
        comment_lines += len(comments)
        whole_lines += sum(token.line.strip().startswith("#") for token in comments)
        code_lines += sum(bool(line.strip()) for line in text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                functions[f"{inside}:{node.name}"] = node.end_lineno - node.lineno + 1
                if docstring := ast.get_docstring(node):
                    first_words[docstring.split()[0].strip(".,;:`")] += 1
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names[node.id in EMPTY_NAMES] += 1
    print("lines per room")
    for room, count in rooms.most_common():
        print(f"  {room:<20}{count:>7}")
    print(f"  {'all':<20}{rooms.total():>7}")
    print("longest modules:", ", ".join(f"{name} {n}" for name, n in modules.most_common(3)))
    print("longest functions:", ", ".join(f"{name} {n}" for name, n in functions.most_common(3)))
    over = sum(count > 300 for count in modules.values())
    print(f"modules {len(modules)}, over 300 lines {over}; functions {len(functions)}")
    print(f"fmt: skip {pragmas}")
    share = 100 * comment_lines / code_lines
    whole = 100 * whole_lines / code_lines
    print(f"lines with a comment per 100: {share:.1f}, of their own {whole:.1f}")
    riddles = sum(first_words[word] for word in RIDDLES)
    share = 100 * riddles / max(first_words.total(), 1)
    print(f"docstrings of functions {first_words.total()}, beginning with a riddle: {share:.1f} %")
    print("first words:", ", ".join(f"{word} {n}" for word, n in first_words.most_common(12)))
    print(f"names that name nothing: {100 * names[True] / names.total():.1f} % of {names.total()}")


if __name__ == "__main__":
    measure(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
