"""Pages of a running guest share frames: does the guest, its log or its migration ever notice?"""

import threading

import numpy as np
import pytest
from vm_rig import (
    A0,
    A1,
    A2,
    LONG,
    LOOP,
    MIB,
    S0,
    T0,
    T1,
    T2,
    ZERO,
    addi,
    branch,
    constant,
    finish,
    load,
    lui,
    machine,
    ram_of,
    slli,
    store,
    take,
    until,
)

from gnomon.errors import GnomonError
from gnomon.guests import path
from gnomon.mmu.sharers import MOST_SHARERS
from gnomon.vm.devices import RAM_BASE

FIELD = 64
"""Pages of a hart, a power of two."""
FIRST = 512
"""Of the harts' pages, the first."""
TOLD = FIRST - 2
"""The page of which the first word ends the run, and the second says that hart 1 has ended."""


def add(rd, a, b):
    return b << 20 | a << 15 | rd << 7 | 0x33


def andi(rd, rs, value):
    return value << 20 | rs << 15 | 7 << 12 | rd << 7 | 0x13


def stamper():
    """Two harts, each with FIELD pages: one after another goes from n to n + 1, modulo 4, if it holds n at both ends; exit code 1 if not.

    So nearly all pages are alike nearly all the time, and each is stored to again and again. Ends when it is told to."""
    code = [*constant(S0, RAM_BASE + FIRST * 4096), slli(T1, A0, 12 + FIELD.bit_length() - 1), add(S0, S0, T1)]
    code += [*constant(A2, FIELD * 4096), add(A2, S0, A2), addi(A1, ZERO, 0)]
    turn = len(code)
    code += [addi(T0, S0, 0), addi(T2, A1, 1), andi(T2, T2, 3)]
    page = len(code)
    wrong = []
    for offset in (0, 2040):
        code += [load(T1, T0, offset, 8), 0]
        wrong.append(len(code) - 1)
    code += [store(T2, T0, 0, 8), store(T2, T0, 2040, 8), lui(T1, 4096), add(T0, T0, T1)]
    code.append(branch("ne", T0, A2, (page - len(code)) * 4))
    code += [addi(A1, T2, 0), *constant(T2, RAM_BASE + TOLD * 4096), load(T1, T2, 0, 8)]
    code.append(branch("eq", T1, ZERO, (turn - len(code)) * 4))
    code.append(branch("eq", A0, ZERO, 3 * 4))  # hart 1 says that it has ended, hart 0 waits for that
    code += [store(T1, T2, 8, 8), LOOP]
    code.append(load(T1, T2, 8, 8))
    code.append(branch("eq", T1, ZERO, -4))
    code += finish(0)
    for at in wrong:
        code[at] = branch("ne", T1, A1, (len(code) - at) * 4)
    return [*code, *finish(1)]


def tell(made):
    """Let the stamper come to its end."""
    made.pause()
    page = np.zeros((1, 4096), np.uint8)
    page[0, 0] = 1
    made.write_pages([TOLD], page)
    made.resume()


def count(made, name):
    return made.stats()["mmu"][name]


def healthy(made):
    frames = made.stats()["frames"]
    return (frames["write_after_free"], frames["double_free"]) == (0, 0)


def test_does_a_guest_find_its_own_stores_while_all_its_pages_share_frames(program):
    """Two harts store to pages that are shared again and again, under a migration: each holds what its hart stored, in the copy too."""
    with machine(program(stamper()), harts=2, debug=True) as made:
        copy = np.zeros((made.pages, 4096), np.uint8)

        made.start()
        with made.dirty_log() as log:
            freed = 0
            while count(made, "pages un-shared") < 4000:  # each was stored to when others lay behind its frame
                assert made.exit_code is None, "a page did not hold what was stored to it"
                freed += made.share_pages()
                take(made, log, copy)
            assert count(made, "pages merged") >= freed > 1000
            tell(made)
            until(lambda: made.exit_code is not None, "the end")
            take(made, log, copy)
            ram = ram_of(made, np.arange(made.pages))
            assert (copy == ram).all()
        assert made.exit_code == 0 and healthy(made)
        fields = ram[FIRST : FIRST + 2 * FIELD].view(np.int64).reshape(2, FIELD, 512)
        assert (fields == fields[:, :1]).all(), "a hart ended between two pages"


GUESTS = {"dirty": "pages=400 keys=1", "churn": "rounds=400 every=100", "sort": ""}


@pytest.mark.parametrize("name", GUESTS)
def test_does_a_guest_pass_its_own_check_while_its_pages_share_and_move(name):
    """dirty, churn on page tables of its own, and sort: what is alike shares a frame, what is shared is moved and taken back."""
    with machine(path(name), memory=16 * MIB, harts=2, bootargs=GUESTS[name], debug=True) as made:
        stop = threading.Event()
        found = [0]

        def share():
            random = np.random.default_rng(5)
            while not stop.is_set():
                found[0] += made.share_pages()
                span = random.integers(0, made.pages, 64)
                made.move_pages(span)
                made.take_back(span)

        thread = threading.Thread(target=share, daemon=True)
        thread.start()
        made.start()

        def enough():
            return found[0] > 100 and count(made, "pages un-shared") > 0

        until(lambda: enough() or made.exit_code is not None)
        made.send_console(b"q")  # which ends `dirty`; the others end by themselves
        assert made.wait(LONG) == 0
        stop.set()
        thread.join(LONG)
        assert name != "dirty" or enough()
        assert healthy(made)


def test_is_ram_what_it_was_when_equal_pages_share_frames():
    """Same bytes, same hash, as few frames as there may be for MOST_SHARERS pages each; a second scan finds nothing."""
    with machine(memory=8 * MIB) as made:
        everything = np.arange(made.pages)
        content = np.random.default_rng(3).integers(0, 255, (made.pages, 4096), dtype=np.uint8)
        content[::2] = content[0]
        content[1::4] = content[1]
        made.write_pages(everything, content)
        before = made.ram_hash()
        apart = made.pages // 4
        behind = -(-made.pages // 2 // MOST_SHARERS) + -(-apart // MOST_SHARERS)
        assert made.share_pages() == made.pages - apart - behind
        assert made.ram_hash() == before
        assert count(made, "shared pages") == made.pages - apart and count(made, "shared frames") == behind
        assert len(np.unique(made._backing)) == apart + behind
        merged = count(made, "pages merged")
        assert made.share_pages() == 0 and count(made, "pages merged") == merged
        made.clear_pages(everything[::4])
        made.write_pages(everything[1::4], content[1::4].copy())
        content[::4] = 0
        ram, zero = np.zeros_like(content), np.zeros(made.pages, np.uint8)
        made.read_pages(everything, ram, zero)
        assert (ram == content).all()
        assert count(made, "shared pages") == apart and healthy(made)
        frames = len(np.unique(made._backing[made._backing != 0]))
        assert made.take_back(everything, discard=True) == frames and healthy(made)


def test_are_only_the_pages_named_shared_and_wrong_ones_refused():
    with machine(memory=8 * MIB) as made:
        made.write_pages(np.arange(40), np.ones((40, 4096), np.uint8))
        assert made.share_pages(range(10, 20)) == 9
        assert made.share_pages([3]) == 0 == made.share_pages([])
        assert (count(made, "shared pages"), count(made, "shared frames")) == (10, 1)
        assert made.share_pages([3, 12]) == 1, "page 3 joins the ten"
        with pytest.raises(GnomonError, match="not among"):
            made.share_pages([made.pages])
