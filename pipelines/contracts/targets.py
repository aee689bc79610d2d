"""A target: a metric, a scope, a window, a baseline, a goal and a plan curve."""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.declared import Code, Declared, Name


class Milestone(Declared):
    """By the end of day `by`, `share` of the way from baseline to goal."""

    by: date
    share: float = Field(ge=0, le=1)


class Milestones(Declared):
    """A plan curve through given points, straight between them."""

    milestones: tuple[Milestone, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        for earlier, later in zip(self.milestones, self.milestones[1:], strict=False):
            if later.by <= earlier.by or later.share < earlier.share:
                raise ValueError(f"milestones must rise in `by` and `share`, and {later.by} not")
        if self.milestones[-1].share != 1:
            raise ValueError("the last milestone must have share 1")
        return self


Curve = Literal["calendar", "workdays", "level"] | Milestones


class Revision(Declared):
    """A re-baselining, recorded and never edited in place; absent keys keep their value."""

    effective: date
    reason: str
    goal: float | None = None
    baseline: float | None = None
    end: date | None = None
    department_goals: dict[Code, float] | None = None
    unallocated: float | None = None


class Target(Declared):
    """A metric, a scope, a window, a baseline, a goal and a plan curve.

    `start` and `end` both count. `goal` is the city's. With `each_department` scope the goals of
    `department_goals` plus `unallocated` sum to it; for a ratio or a level one `department_goal`
    serves every department. `departments` owe it; empty is whoever owes the metric's source.
    Thresholds are of SPI(t), for a level of actual / goal.
    """

    name: Name
    title: str
    metric: Name
    scope: Literal["city", "each_department"]
    start: date
    end: date
    baseline: float = 0
    goal: float
    departments: tuple[Code, ...] = ()
    department_goals: dict[Code, float] = Field({})
    unallocated: float = 0
    department_goal: float | None = None
    direction: Literal["at_least", "at_most"] = "at_least"
    curve: Curve = "calendar"
    at_risk_below: float = Field(0.95, gt=0, le=1)
    behind_below: float = Field(0.85, gt=0, le=1)
    owner: str = ""
    description: str = ""
    revisions: tuple[Revision, ...] = ()

    @model_validator(mode="after")
    def _window_and_thresholds(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        if self.behind_below > self.at_risk_below:
            raise ValueError("`behind_below` must not exceed `at_risk_below`")
        effective = [revision.effective for revision in self.revisions]
        if effective != sorted(set(effective)):
            raise ValueError("`revisions` must be in order, one per day")
        return self

    def revised(self, as_of: date) -> tuple[int, Target]:
        """The target as it stood on `as_of`: (revision number, 0 for the first; the target)."""
        number, current = 0, self
        for revision in self.revisions:
            if revision.effective <= as_of:
                number += 1
                changes = revision.model_dump(exclude={"effective", "reason"}, exclude_none=True)
                current = current.model_copy(update=changes)
        return number, current
