"""The codes: known examples, every single slip of the hand, and python-stdnum's opinion."""

from __future__ import annotations

import random

import pytest
from sql import normalise_oracle as oracle
from sql.test_normalise import connect
from stdnum.cn import ric, uscc

USCC = ["91110000600037341L", "91350100M000100Y43"]  # stdnum's own, and the standard's annex
PERSONS = ["11010519491231002X", "440524188001010014", "360426199101010071"]
CHANNELS = ["34020000001320000001", "34020000002000000001", "11000000001110000001"]


@pytest.fixture(scope="module")
def connection():
    with connect() as opened:
        yield opened


def read(connection, macro: str, cells: list[str]) -> list[str | None]:
    query = f"SELECT {macro}(t) FROM (SELECT unnest($cells::VARCHAR[]) AS t)"
    return [row[0] for row in connection.execute(query, {"cells": cells}).fetchall()]


@pytest.mark.parametrize(
    ("macro", "cell", "expected"),
    [
        *(("normalise_uscc", code, code) for code in USCC),
        ("normalise_uscc", "９１１１００００６０００３７３４１ l", USCC[0]),
        ("normalise_uscc", "91110000600037341M", None),
        ("normalise_uscc", "9111000060003734IL", None),  # no I, O, S, V, Z
        ("normalise_uscc", "9111000060003734L", None),
        ("normalise_uscc", "91110000-600037341L", None),
        ("normalise_id_number", PERSONS[0], PERSONS[0]),
        ("normalise_id_number", "110105 19491231 002x", PERSONS[0]),
        ("normalise_id_number", PERSONS[2], PERSONS[2]),
        ("normalise_id_number", PERSONS[1], PERSONS[1]),  # the standard's, of 1880
        ("normalise_id_number", "110105174912310020", None),
        ("normalise_id_number", "110105194912310021", None),
        ("normalise_id_number", "110105491231002", None),  # fifteen digits ended in 2013
        ("normalise_region", "340200", "340200"),
        ("normalise_region", " ３４０２００", "340200"),
        ("normalise_region", "469005", "469005"),
        ("normalise_region", "340012", None),
        ("normalise_region", "990000", None),
        ("normalise_region", "340200000000", None),  # of the statisticians
        *(("normalise_gb28181", code, code) for code in CHANNELS),
        ("normalise_gb28181", "3402000000132000001", None),
        ("normalise_gb28181", "99020000001320000001", None),
        ("normalise_gb28181", "34020000001000000001", None),
        ("normalise_gb28181", "34020000006000000001", None),
        ("normalise_gb28181", "3402000000132000000X", None),
    ],
)
def test_code(connection, macro, cell, expected):
    assert read(connection, macro, [cell]) == [expected]
    assert getattr(oracle, macro)(cell) == expected


@pytest.mark.parametrize(
    ("macro", "code", "characters"),
    [
        ("normalise_uscc", USCC[0], oracle.USCC_CHARACTERS),
        ("normalise_id_number", PERSONS[0], "0123456789X"),
    ],
)
def test_no_slip_of_one_character_or_of_two_neighbours_passes(connection, macro, code, characters):
    slips = {
        code[:at] + character + code[at + 1 :] for at in range(18) for character in characters
    } | {code[:at] + code[at + 1] + code[at] + code[at + 2 :] for at in range(17)}
    assert set(read(connection, macro, sorted(slips - {code}))) == {None}


def test_a_second_opinion_on_credit_codes(connection):
    """Compare with stdnum, which allows hyphens and no letters in the first two places, where the
    standard has them: N1 are village co-operatives, A1 and Y1 bodies of other registers."""
    chance = random.Random(2015)
    bodies = [
        chance.choice(["91", "12", "52", "93"])
        + f"{chance.randrange(10**6):06}"
        + "".join(chance.choices(oracle.USCC_CHARACTERS, k=9))
        for _ in range(3000)
    ]
    codes = [body + chance.choice(oracle.USCC_CHARACTERS) for body in bodies]
    codes += [body + oracle.uscc_check_character(body) for body in bodies]
    ours = read(connection, "normalise_uscc", codes)
    assert [code is not None for code in ours] == [uscc.is_valid(code) for code in codes]
    body = "N2341802MA2RABCD7"
    village = body + oracle.uscc_check_character(body)
    assert read(connection, "normalise_uscc", [village]) == [village]
    assert not uscc.is_valid(village)


def test_a_second_opinion_on_identity_numbers(connection):
    """Compare with stdnum, which knows every county by its years, while we ask for the province:
    people whose register later changed its code are not refused."""
    chance = random.Random(1999)
    bodies = [
        chance.choice(["110105", "360426", "341802", "500103"])
        + f"{chance.randrange(1985, 2010)}{chance.randrange(1, 14):02}{chance.randrange(1, 32):02}"
        + f"{chance.randrange(1000):03}"
        for _ in range(3000)
    ]
    codes = [body + chance.choice("0123456789X") for body in bodies]
    codes += [body + oracle.id_check_character(body) for body in bodies]
    ours = read(connection, "normalise_id_number", codes)
    theirs = [ric.is_valid(code) for code in codes]
    unlike = {
        code[:6]
        for code, our_value, their in zip(codes, ours, theirs, strict=True)
        if (our_value is not None) != their
    }
    assert unlike == {"341802", "500103"}  # districts since 2000 and 1997
    assert all(
        our_value is not None for our_value, their in zip(ours, theirs, strict=True) if their
    )
    assert sum(theirs) > 1000
    assert all(ric.calc_check_digit(code) == oracle.id_check_character(code[:17]) for code in codes)
