"""A target: a metric, a scope, a window, a baseline, a goal and a plan curve."""

from __future__ import annotations

from datetime import date
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.declared import Code, Declared, Name


class Milestone(Declared, title="Milestone"):
    """A point of a plan curve."""

    by: date = Field(
        description="Day at whose end the share is reached.", examples=[date(2021, 10, 31)]
    )
    share: float = Field(
        ge=0, le=1, description="Share of the distance from baseline to goal.", examples=[0.4]
    )


class Milestones(Declared, title="Milestones"):
    """A plan curve through given points, straight between them."""

    milestones: tuple[Milestone, ...] = Field(
        min_length=1,
        description="Points that rise in both day and share; the last one has share 1.",
        examples=[[{"by": "2021-10-31", "share": 0.4}, {"by": "2021-12-31", "share": 1}]],
    )

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        for earlier, later in zip(self.milestones, self.milestones[1:], strict=False):
            if later.by <= earlier.by or later.share < earlier.share:
                raise ValueError(
                    f"milestones must rise in `by` and `share`, and {later.by} does not"
                )
        if self.milestones[-1].share != 1:
            raise ValueError("the last milestone must have share 1")
        return self


Curve = Literal["calendar", "workdays", "level"] | Milestones


class Revision(Declared, title="Revisions"):
    """A change of a target that holds from a day on; keys that are left out keep their value.

    A target is never edited in place: what was reported before stays true to the plan of its day.
    """

    effective: date = Field(
        description="First day on which the revision holds.", examples=[date(2021, 11, 15)]
    )
    reason: str = Field(description="Who decided it, and why.", examples=["市委专题会议"])
    goal: float | None = Field(None, description="New goal of the city.", examples=[300000000])
    baseline: float | None = Field(None, description="New baseline.", examples=[0])
    end: date | None = Field(None, description="New last day.", examples=[date(2022, 1, 31)])
    department_goals: dict[Code, float] | None = Field(
        None, description="New goals of all departments.", examples=[{"gaj": 60, "wjw": 40}]
    )
    unallocated: float | None = Field(
        None, description="New part of the goal that no department has.", examples=[20]
    )


class Target(Declared, title="Targets"):
    """An entry of `targets.yaml`: what a metric is to reach, by when, and on which curve."""

    name: Name = Field(description="Name of the target.", examples=["hundred_day_collection"])
    title: str = Field(description="Chinese name.", examples=["全市数据归集百日攻坚"])
    metric: Name = Field(description="Metric that is tracked.", examples=["records_new"])
    scope: Literal["city", "each_department"] = Field(
        description="Who is tracked: the city alone, or each department and the city.",
        examples=["each_department"],
    )
    start: date = Field(description="First day; it counts.", examples=[date(2021, 9, 23)])
    end: date = Field(description="Last day; it counts.", examples=[date(2021, 12, 31)])
    baseline: float = Field(
        0, description="Value before the first day, from which progress counts.", examples=[0]
    )
    goal: float = Field(description="The city's goal, in the metric's unit.", examples=[265000000])
    departments: tuple[Code, ...] = Field(
        (),
        description="Departments that owe the target; without any, those that owe the metric's "
        "source.",
        examples=[["gaj", "wjw"]],
    )
    department_goals: dict[Code, float] = Field(
        {},
        description="Goals of the departments. With `unallocated` they sum to `goal`.",
        examples=[{"gaj": 31000000, "wjw": 18000000}],
    )
    unallocated: float = Field(
        0, description="Part of the goal that no department has.", examples=[216000000]
    )
    department_goal: float | None = Field(
        None,
        description="The goal of every department, for a ratio or a level, which never sum.",
        examples=[95],
    )
    direction: Literal["at_least", "at_most"] = Field(
        "at_least", description="Which side of the goal is good.", examples=["at_most"]
    )
    curve: Curve = Field(
        "calendar",
        description="How the plan rises to the goal: evenly over all days or over working days, or "
        "through milestones. A `level` is a standard to hold from the first day.",
        examples=["workdays"],
    )
    at_risk_below: float = Field(
        0.95,
        gt=0,
        le=1,
        description="SPI(t) below which the target is at risk; for a level, actual / goal.",
        examples=[0.95],
    )
    behind_below: float = Field(
        0.85,
        gt=0,
        le=1,
        description="SPI(t) below which the target is behind; for a level, actual / goal.",
        examples=[0.85],
    )
    owner: str = Field("", description="Who answers for the target.", examples=["数据资源科"])
    description: str = Field(
        "", description="What else people should know.", examples=["目标值为示例"]
    )
    revisions: tuple[Revision, ...] = Field(
        (),
        description="Changes of the target, in order, at most one a day.",
        examples=[[{"effective": "2021-11-15", "goal": 300000000, "reason": "市委专题会议"}]],
    )

    @model_validator(mode="after")
    def _window_and_thresholds_are_in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        if self.behind_below > self.at_risk_below:
            raise ValueError("`behind_below` must not exceed `at_risk_below`")
        effective = [revision.effective for revision in self.revisions]
        if effective != sorted(set(effective)):
            raise ValueError("`revisions` must be in order, one per day")
        return self

    def revised(self, as_of: date) -> tuple[int, Target]:
        """Return the number of revisions in force on `as_of`, and the target as it then stood."""
        number, current = 0, self
        for revision in self.revisions:
            if revision.effective <= as_of:
                number += 1
                changes = revision.model_dump(exclude={"effective", "reason"}, exclude_none=True)
                current = current.model_copy(update=changes)
        return number, current
