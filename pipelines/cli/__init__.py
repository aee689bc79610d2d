"""The `citybrain` command: it parses options, calls a job, and prints tables or JSON.

Exit codes: 0 fine; 1 something was rejected or is behind (see --fail-on), or failed; 2 wrong usage
or configuration. What only some commands need is imported inside them, so that all start at once.
"""

# Commands are listed in help in the order in which these modules register them.
# isort: off
from pipelines.cli.terminal import app
from pipelines.cli import night as night
from pipelines.cli import views as views
from pipelines.cli import decisions as decisions
from pipelines.cli import care as care
# isort: on

__all__ = ["app"]
