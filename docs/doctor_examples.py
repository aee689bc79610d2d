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

`citybrain doctor` finds what is wrong with a deployment before the night does. Run it each morning,
on a new machine and after an upgrade. It changes nothing: it never migrates, takes in or removes
anything, and it waits for nobody (a database has three seconds to answer). While a run works on the
warehouse it reads the published copy instead. Mistakes in the configuration are findings like
others, and everything else is examined all the same.

Every finding has a level; below each that is not `ok` stands its mend. The last line is `healthy`, or
the numbers of failures and warnings. The exit code is 1 when there is a failure, 0 otherwise, and 2
when the environment itself makes no sense (`CITYBRAIN_THREADS=x`).

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


def section(title: str, deployment: Deployment, only_bad: bool) -> str:
    """Return a section of the page: a heading, and what the doctor says of a deployment."""
    findings = [finding for finding in deployment.findings() if not only_bad or finding.mend]
    level = "###" if only_bad else "##"
    return f"{level} {title}\n\n```\n{ailments.shown(deployment, findings)}\n```\n"


def main() -> None:
    """Print the page."""
    with tempfile.TemporaryDirectory() as folder:
        (well := Path(folder, "well")).mkdir()
        city = ailments.healthy_city(well)
        parts = [HEAD, section("A healthy deployment", Deployment(city.settings), only_bad=False)]
        parts.append("## Broken deployments\n\nLines that are `ok` are left out.\n")
        for ailment, title in ailments.SHOWN.items():
            (root := Path(folder, ailment.__name__)).mkdir()
            with ailment(ailments.copy_of(city, root)) as broken:
                parts.append(section(title, broken, only_bad=True))
    sys.stdout.write("\n".join(parts))


if __name__ == "__main__":
    main()
