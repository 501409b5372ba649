"""rounds: is the pause estimated from what was measured, and does someone act when rounds do not help?"""

from hypothesis import given
from hypothesis import strategies as st

from gnomon.migrate.rounds import MAX_ROUNDS, PAGE, THROTTLE_MOST, Convergence, Report, Round, as_dict


def convergence(**options):
    made = Convergence(0.05, **options)
    made.bandwidth = 1e9
    return made


def test_is_the_pause_begun_when_what_is_left_fits():
    for dirty, fixed, action in ((12000, 0.0, "finish"), (13000, 0.0, "copy"), (10000, 0.02, "copy"), (100, 0.06, "copy")):
        c = convergence()
        c.fixed = fixed
        verdict = c.after_round(1, dirty)
        assert verdict.action == action
        assert abs(verdict.downtime - (dirty * PAGE / 1e9 + fixed)) < 1e-9


def test_is_a_small_round_kept_from_being_taken_for_a_slow_link():
    c = Convergence(0.05)
    c.measured(100000, 0.4096)
    assert c.bandwidth == 1e9
    c.measured(3, 0.01)
    assert c.bandwidth == 1e9
    c.measured(1000, 0.008192)
    assert c.bandwidth == 0.5e9


def test_is_a_guest_that_outruns_the_link_slowed_step_by_step():
    c = convergence(auto_converge=True)
    throttles = [c.after_round(n, 50000).throttle for n in range(1, 16)]
    assert throttles[:4] == [0, 0, 0, 20]
    assert throttles[4:8] == [30, 40, 50, 60]
    assert max(throttles) <= THROTTLE_MOST


def test_is_a_guest_left_alone_while_rounds_still_help():
    c = convergence(auto_converge=True)
    dirty = 10_000_000
    while c.after_round(1, dirty).action == "copy":
        dirty = dirty * 3 // 4
        assert c.throttle == 0


@given(st.booleans(), st.lists(st.integers(0, 1 << 24), min_size=MAX_ROUNDS, max_size=MAX_ROUNDS))
def test_does_every_migration_end(auto, dirty):
    c = convergence(auto_converge=auto)
    assert any(c.after_round(n, d).action != "copy" for n, d in enumerate(dirty, 1))


def test_are_rates_of_a_round_about_pages_that_were_carried():
    r = Round(1, False, pages=1000, zero=500, bytes=2_100_000, seconds=0.001, dirty_rate=0.0, throttle=0)
    assert r.rate == 500 * PAGE / 0.001 / 1e6
    report = as_dict(Report("vm1", "host:1", [r], 1.0, 0.01, 2_100_000, 1000, "ab"))
    assert report["rounds"][0]["rate"] == r.rate and report["downtime"] == 0.01
