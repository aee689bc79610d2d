#!/usr/bin/env python
"""Health check of a container: exits with 0 when the URL answers, and says that a part is well.

`citybrain-healthy URL [PART]`: PART is a key of Airflow's monitor, as `dag_processor`. It costs
milliseconds, where Airflow's own check imports Airflow, for seconds, in every service.
"""

import json
import sys
from urllib.request import urlopen


def main(url: str, part: str = "") -> None:
    """Exit with a message unless the URL answers well."""
    with urlopen(url, timeout=5) as answer:  # noqa: S310 - the compose file's own URL
        status = json.load(answer)
    if part and status[part]["status"] != "healthy":
        sys.exit(f"{part} is {status[part]['status']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
