"""Write docs/doctor.md: what the doctor says of a healthy deployment, and of broken ones.

    python docs/doctor_examples.py > docs/doctor.md

The deployments are those of the doctor's own tests, each really broken. A full disk is a small one,
and mounting it takes root, or `unshare --map-root-user --mount` before the command.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pipelines.settings import PROJECT

sys.path.insert(0, str(PROJECT / "tests"))

from integration import ailments
from integration.ailments import Deployment

HEAD = """\
<!-- Written by docs/doctor_examples.py; do not edit it by hand. -->
# The doctor

`citybrain doctor` says what is wrong with a deployment before the night finds out: each morning, on
a new machine, after an upgrade. It looks and changes nothing: it never migrates, takes in or
removes anything, and waits for nobody (a database that does not answer has three seconds). While
a run is at work on the warehouse it goes by the published copy. It needs no configuration that is
sound: what is broken is said, and everything else is examined all the same.

Every finding has a level, and what is not `ok` has its mend below it. The last line is the verdict:
`healthy`, or how many failures and warnings there are. The exit code is 1 when there is a failure,
0 otherwise, 2 when the environment itself makes no sense (`CITYBRAIN_THREADS=x`).

| check | failure | warning |
|---|---|---|
| configuration | each mistake, as `citybrain check` tells it | |
| versions | Python, or a package that this version needs, is missing or another than the pinned one | |
| disk | a folder cannot be written; its disk is gone; no room for one copy of the warehouse | room for less than two copies and 1 GB; others can enter the archive |
| locks | another program has the warehouse's file open, if only to read it | a lock is held for longer than others wait |
| warehouse | it does not open; a newer version made it | the next run migrates it |
| operations | the operational database does not answer; a newer version, or another program, made it | the next run migrates it |
| calendars | | this year's holidays are not known; from November on: the next year's |
| last run | none has finished for 26 hours | none has ever finished; a step failed when it was last tried |
| published | it does not open | it is behind the warehouse; a rollback has pinned it; there is none |
| landing | | files wait for more than a day, or are nobody's; killed runs have left something in staging (`CITYBRAIN_LEFTOVER_HOURS`) |
| notification | a URL makes no sense (it is never shown) | |
| time | the clock is more than an hour behind the ledger; Shanghai's time is not known | |

A check that itself breaks is a failure of its own. Times are UTC.

**For programs**, `--json`:

```json
{"healthy": false, "findings": [{"check": "disk", "level": "failure", "message": "…", "mend": "…"}]}
```

`level` is `ok`, `warning` or `failure`; `healthy` says that there are neither warnings nor
failures. A monitor that should be silent about warnings goes by the exit code.
"""  # noqa: E501 - rows of a table


def section(title: str, there: Deployment, only_bad: bool) -> str:
    """Return a section of the page: a deployment's state, and what the doctor says of it."""
    findings = [one for one in there.findings() if not only_bad or one.mend]
    return f"{'###' if only_bad else '##'} {title}\n\n```\n{ailments.shown(there, findings)}\n```\n"


def main() -> None:
    """Print the page."""
    with tempfile.TemporaryDirectory() as folder:
        (well := Path(folder, "well")).mkdir()
        city = ailments.healthy_city(well)
        parts = [HEAD, section("A healthy deployment", Deployment(city.settings), only_bad=False)]
        parts.append("## What is wrong, and how it is said\n\nWithout the lines that are `ok`.\n")
        for ailment in ailments.SHOWN:
            (root := Path(folder, ailment.__name__)).mkdir()
            with ailment(ailments.copy_of(city, root)) as broken:
                title = " ".join((ailment.__doc__ or "").split()).removesuffix(".")
                parts.append(section(title, broken, only_bad=True))
    sys.stdout.write("\n".join(parts))


if __name__ == "__main__":
    main()
