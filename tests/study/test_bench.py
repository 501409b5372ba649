"""What a user sees of `gnomon bench`: rows that add up, peers that are absent, names that do not exist. No test here asserts a time.

The benches run for real, on few pages and few instructions.
"""

import json

import msgspec
import numpy as np
import pytest

from gnomon.cli import bench as frame
from gnomon.cli import warming
from gnomon.errors import GnomonError
from gnomon.study import (
    bench_dirty_log,
    bench_guest,
    bench_jitter,
    bench_memory,
    bench_migrate,
    bench_protect,
    bench_reclaim,
    bench_redirty,
    bench_scale,
    bench_start,
    protect_peers,
    qemu,
    ram,
)

PAGES = 512
SPEEDS = ("M instructions/s", "GB/s", "M/s", "k/s")
"""Units of which more is better."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Benches that end soon: what they do, not how fast."""
    warming.warm()
    for module in (bench_protect, bench_redirty, bench_memory):
        monkeypatch.setattr(module, "COUNT", PAGES)
    for module in (bench_protect, bench_redirty, bench_guest, bench_migrate, bench_start, bench_scale):
        monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(bench_migrate, "IDLE_REPEATS", 1)
    monkeypatch.setattr(bench_guest, "ROUNDS", 1)
    monkeypatch.setattr(bench_memory, "SIZES", (16 << 20, 128 << 20))  # the second has parts that fill a frame
    monkeypatch.setattr(bench_migrate, "IDLE_MEMORY", 16 << 20)
    monkeypatch.setattr(bench_migrate, "GUEST_MS", 1500)
    monkeypatch.setattr(bench_dirty_log, "BYTES", 2 << 20)
    monkeypatch.setattr(bench_scale, "SIZES", (16 << 20, 64 << 20))
    monkeypatch.setattr(bench_scale, "DIRTY", 2048)
    monkeypatch.setattr(bench_scale, "PAGES", PAGES)
    monkeypatch.setattr(bench_reclaim, "SECONDS", 0.3)
    monkeypatch.setattr(bench_jitter, "PAGES", 1024)
    monkeypatch.setattr(bench_jitter, "SECONDS", 0.3)
    monkeypatch.setattr(bench_jitter, "LEAST_SAMPLES", 1)


def rows_of(module) -> list[frame.Row]:
    told: list[str] = []
    found = [frame.judge(msgspec.convert(row, frame.Row, strict=False)) for row in module.rows(told.append)]
    assert found and told, "a bench has rows, and says what it is at"
    return found


def check(rows: list[frame.Row], name: str) -> None:
    """Each row is whole, and each ratio is that of the two figures it names."""
    by_figure = {row.figure: row for row in rows}
    for row in rows:
        assert row.bench == name and row.figure and row.unit
        assert frame.cells(row)
        if row.value is None:
            assert row.peer.startswith("not available: ") and row.holds is None
            continue
        assert row.value >= 0
        if row.ratio is not None:
            ours, theirs = row.value, by_figure[row.peer].value
            wanted = ours / theirs if row.unit in SPEEDS else theirs / ours
            assert row.ratio == pytest.approx(wanted)
        judged = row.ratio if row.target.startswith("ratio") else row.value
        assert (row.holds is not None) == (bool(row.target) and judged is not None)


@pytest.mark.parametrize("name", ["protect", "redirty", "memory"])
def test_do_the_figures_of_the_mmu_add_up(name):
    check(rows_of({"protect": bench_protect, "redirty": bench_redirty, "memory": bench_memory}[name]), name)


@pytest.mark.parametrize("name", ["dirty-log", "scale", "reclaim"])
def test_do_the_figures_of_the_dirty_log_add_up(name):
    check(rows_of({"dirty-log": bench_dirty_log, "scale": bench_scale, "reclaim": bench_reclaim}[name]), name)


def test_does_the_jitter_bench_count_every_fault_once():
    """Idle, a pass over protected pages is a fault a page: so many are in the histogram, in buckets that hold their times."""
    rig = bench_jitter.Bench(2, "lockless", 512)
    idle = rig.idle(3)
    assert idle.counts.sum() == 3 * 2 * 512 == sum(count for _, count in idle.points)
    assert 0 < idle.quantile(0.5) <= idle.quantile(0.99) <= idle.quantile(1.0)
    check(rows_of(bench_jitter), "jitter")


@pytest.mark.parametrize("ticks", [0, 1, 31, 32, 33, 1000, 12345, 1 << 40, (1 << 62) + 12345])
def test_is_a_time_in_a_bucket_that_is_narrower_than_a_sixteenth_of_it(ticks):
    index = bench_jitter.bucket(ticks)
    assert index < bench_jitter.BUCKETS
    assert bench_jitter.edge(index) <= ticks < bench_jitter.edge(index + 1)
    assert bench_jitter.edge(index + 1) - bench_jitter.edge(index) <= max(1, ticks / 16)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guest", "migrate"])
def test_do_the_figures_of_whole_machines_add_up(name):
    check(rows_of({"guest": bench_guest, "migrate": bench_migrate}[name]), name)


@pytest.mark.slow
def test_does_a_start_come_to_the_first_instruction(tmp_path):
    """One warm start only: the second of two in one folder."""
    assert bench_start.start_seconds(str(tmp_path)) > 0
    assert any(tmp_path.iterdir()), "the first start left no compiled kernels"
    assert bench_start.start_seconds(str(tmp_path)) > 0


def test_which_benches_are_there():
    found = ["check", "dirty-log", "guest", "jitter", "memory", "migrate", "protect", "reclaim", "redirty", "scale", "start"]
    assert list(frame.benches()) == found


def test_is_an_unknown_bench_named_with_those_that_exist():
    with pytest.raises(GnomonError) as refused:
        frame.bench("speed")
    assert refused.value.exit_code == 2
    assert "speed" in refused.value.message and "jitter, memory, migrate" in refused.value.hint


def test_is_the_json_the_rows(capsys):
    assert frame.bench("memory", json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [*rows[0]] == [*frame.HEADER, "points"]
    assert {row["bench"] for row in rows} == {"memory"}


def test_is_a_missing_qemu_reported(monkeypatch):
    monkeypatch.setattr(qemu, "PROGRAM", "qemu-system-that-is-not-here")
    row = bench_guest.qemu_row(bench_guest.Run("PASS sort harts=1 n=1 rounds=1 instret=10 ms=1 checksum=0"), lambda _: None)
    assert (row["value"], row["peer"]) == (None, "not available: not installed")


def test_is_a_qemu_that_fails_reported(monkeypatch):
    monkeypatch.setattr(qemu, "PROGRAM", "false")
    row = bench_guest.qemu_row(bench_guest.Run("PASS sort harts=2 n=1 rounds=1 instret=10 ms=1 checksum=0"), lambda _: None)
    assert row["value"] is None and "exit code 1" in row["peer"]


def test_are_peers_that_the_host_does_not_allow_reported(monkeypatch):
    monkeypatch.setattr(protect_peers, "_USERFAULTFD", None)
    monkeypatch.setattr(protect_peers, "_MAX_MAP_COUNT", "/dev/null/nothing")
    rows = rows_of(bench_protect)
    check(rows, "protect")
    absent = [row for row in rows if row.value is None]
    assert len(absent) == 8
    ours = [row for row in rows if row.value is not None and "not available" in row.peer]
    assert len(ours) == 8 and all(row.ratio is None and row.holds is None for row in ours)


def test_does_the_bench_really_protect_what_it_says():
    """A harvest of writable pages clears W in each, and the pages that the peers get are those pages."""
    small = ram.Ram(PAGES, 2)
    assert bench_protect.harvest_ns(small) > 0
    frames, addresses = small.frames(), small.addresses()
    assert len(np.unique(frames)) == PAGES and np.all(frames > 0)
    small.arena.words[frames[3] * ram.PAGE_WORDS] = 77
    at = addresses[3] - small.arena.address
    assert small.arena.octets[at : at + 8].view(np.int64)[0] == 77


def test_what_are_neighbouring_pages_to_a_peer():
    apart = np.array([0, 8192, 12288, 20480]) + (1 << 20)
    assert protect_peers.ranges(apart).tolist() == [[1 << 20, 4096], [(1 << 20) + 8192, 8192], [(1 << 20) + 20480, 4096]]
    assert protect_peers.pages(apart)[:, 1].tolist() == [4096] * 4


def test_are_pages_writable_again_after_a_peer():
    """Protected by each peer and given back, every page takes a store: else this process would be dead."""
    whole = ram.Ram(PAGES)
    addresses = np.sort(whole.addresses())
    for kind in (protect_peers.Mprotect, protect_peers.Userfault):
        try:
            peer = kind(addresses, protect_peers.pages(addresses))
        except GnomonError:
            continue
        before = whole.arena.words[whole.frames() * ram.PAGE_WORDS].copy()
        peer.protect()
        peer.close()
        whole.touch()
        assert (whole.arena.words[whole.frames() * ram.PAGE_WORDS] == before + 1).all()


def test_are_as_many_harts_measured_as_there_are_processors():
    assert [bench_guest.hart_counts(n) for n in (1, 2, 4, 6, 12)] == [[1, 2], [1, 2], [1, 2, 4], [1, 2, 4, 6], [1, 2, 4, 8, 12]]
