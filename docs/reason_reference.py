"""Write docs/reasons.md from the words of every reason in `pipelines/deliveries/`."""

from __future__ import annotations

from pipelines.deliveries.reason_texts import GROUPS

INTRODUCTION = """\
# Reasons

<!-- Written by `make docs` from pipelines/deliveries/reason_texts.py; edit the words there. -->

Why a row or a delivery was not taken as it was sent. A reason is stored as a code with its column,
value and what was expected; the command line and logs show it in English, departments get it in
Chinese. Other pages write a code as a link to its entry here.
"""


def reasons_markdown() -> str:
    """Return the text of docs/reasons.md: a heading for each code, so that it can be linked."""
    lines = [INTRODUCTION]
    for title, group in GROUPS.items():
        lines.append(f"## {title}\n")
        for code, (english, chinese) in group.items():
            lines.append(f"### {code}\n\n{plain(english)}\n\n{plain(chinese)}\n")
    return "\n".join(lines)


def plain(template: str) -> str:
    """Return a template with its fields as placeholders, which no renderer takes for markup."""
    for field in ("column", "value", "expected"):
        for braces in (f"{{{field}!r}}", f"{{{field}}}"):
            template = template.replace(braces, f"*{field}*")
    return template
