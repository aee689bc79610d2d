"""The base of every declaration, and the types of keys that several declarations have.

The meaning of a key stands on the key, `Field(description=..., examples=[...])`, and the meaning
of a declaration in its docstring: docs/contracts.md is written from both (`make docs`), and a
message about a faulty key points to its section there.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class Declared(BaseModel):
    """Base of all declarations: frozen, and an unknown key is an error.

    A subclass's `title` is the heading of its section in docs/contracts.md.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    @classmethod
    def section(cls) -> str:
        """Return where the declaration is explained, such as `docs/contracts.md#columns`."""
        heading = cls.model_config.get("title") or cls.__name__
        return f"docs/contracts.md#{heading.lower().replace(' ', '-')}"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


OneOrMany = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
