"""record: the layout of a structure in the arena, as constant word offsets.

    SP = record("SP", "A shadow page.", gfn=1, role=1, parents=1)
    read_once(m, sp + SP.role)

A record is a namedtuple of ints, which Numba freezes into constants. `SP.size` is its number of words. RECORDS remembers every
layout by name, so that a checker or a debugger can print fields instead of addresses.
"""

from __future__ import annotations

from collections import namedtuple

RECORDS: dict[str, tuple] = {}


def record(name: str, doc: str, **fields: int):
    """Lay out `fields` (name=words) one after another and return their offsets plus `size`, all in words.

    Raises ValueError for a name already taken or a field of no words."""
    if name in RECORDS:
        raise ValueError(f"record {name} is defined twice")
    offset, offsets = 0, {}
    for field, words in fields.items():
        if words < 1:
            raise ValueError(f"record {name}: field {field} has {words} words, it needs at least 1")
        offsets[field] = offset
        offset += words
    kind = namedtuple(name, [*offsets, "size"])
    kind.__doc__ = doc
    layout = kind(**offsets, size=offset)
    RECORDS[name] = layout
    return layout
