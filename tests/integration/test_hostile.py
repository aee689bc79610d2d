"""A night of files made to hurt, all at once: each is refused in words, and good ones load.

Sizes are an eightieth of what `make hostile` measures (but more than a cell may hold), and so is
the limit that they exceed.
"""

from __future__ import annotations

import pytest
from hostile.files import FILES, HEADER
from hostile.measure import Night, place, prepare, run

SCALE = 80
LIMIT = (2 << 30) // SCALE
MORE_THAN_A_CELL = 16 << 20
PEAK_MIB = 1500
TRACE = "Traceback (most recent call last)"


def scaled(size: int) -> int:
    return max(size // SCALE, min(size, MORE_THAN_A_CELL))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    root = tmp_path_factory.mktemp("hostile")
    codes = {name: f"bad{number}" for number, name in enumerate(FILES)}
    environment = prepare(root, ["good", *codes.values()])
    place(root, "good", ".csv").write_text(HEADER + "x,1,y\n", encoding="utf-8")
    for name, file in FILES.items():
        file.write(place(root, codes[name], file.suffix), scaled(file.size))
    done = run(environment | {"CITYBRAIN_MAX_UNCOMPRESSED_BYTES": str(LIMIT)})
    verdicts = {name: done.verdicts.get(code, ("", "")) for name, code in codes.items()}
    return Night(
        done.seconds,
        done.peak_mib,
        done.exit_code,
        {"good": done.verdicts["good"], **verdicts},
        done.stderr,
    )


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_with_its_reason(night: Night, name: str) -> None:
    verdict, reason = night.verdicts[name]
    assert verdict in ("unreadable", "rejected", "accepted_with_quarantine")
    assert FILES[name].words in reason


def test_the_rest_of_the_night_goes_on(night: Night) -> None:
    assert night.verdicts["good"][0] == "accepted"
    assert night.exit_code == 1
    assert TRACE not in night.stderr
    assert night.peak_mib < PEAK_MIB


def test_the_scaled_bombs_still_exceed_the_limit() -> None:
    """Check the sizes: a file that shrank below every limit would prove nothing."""
    bombs = [file.size for name, file in FILES.items() if "bomb" in name]
    assert len(bombs) == 3
    assert all(scaled(size) > LIMIT for size in bombs)
