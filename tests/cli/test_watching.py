"""watch: is a viewer told what happens until the end, and is the dirty log only lent to it?"""

import threading
import time

import pytest

from gnomon.cli import control
from gnomon.errors import GnomonError


@pytest.fixture
def here(gnomon, monkeypatch):
    """Ask the machines of the test from this process too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", gnomon.environment["XDG_RUNTIME_DIR"])
    return gnomon


class Enough(Exception):
    pass


def views(name, count=3, **asked):
    """The first `count` views of a machine."""
    seen = []

    def take(view):
        seen.append(view)
        if len(seen) == count:
            raise Enough

    with pytest.raises(Enough):
        control.ask(name, "watch", {"interval": 0.1, **asked}, on_event=take, timeout=20)
    return seen


def logging(name):
    return bool(control.ask(name, "stats", timeout=5)["dirty log"]["enabled"])


def until(condition, within=20.0):
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_does_a_view_have_what_a_screen_shows(here):
    here.run("vm1")
    first, _, last = views("vm1", cells=100)
    assert first["status"]["state"] == "running" and first["status"]["harts"] == 2
    assert last["clock"] > first["clock"] and len(last["map"]["cells"]) == len(last["map"]["dirty"]) == 100
    assert all(after > before for after, before in zip(last["stats"]["harts"]["exits"], first["stats"]["harts"]["exits"], strict=True))
    assert 0 < last["cost"] <= 0.011, "the pause after a view is 100 times what it cost"


def test_is_a_viewer_told_how_the_machine_ended(here):
    here.run("vm1", append=f"pages=50 ms={here.lasting(1500)} rate=1000")
    assert control.ask("vm1", "watch", {"interval": 0.1}, on_event=lambda _: None, timeout=20) == {"event": "exit", "code": 0}
    here.run("vm2")
    told = []
    viewer = threading.Thread(target=lambda: told.append(control.ask("vm2", "watch", {}, on_event=told.append, timeout=20)))
    viewer.start()
    until(lambda: told)
    assert here("stop", "vm2").returncode == 0
    viewer.join(20)
    assert told[-1] == {"event": "stopped"}


def test_does_a_viewer_see_the_rounds_and_where_the_guest_went(here):
    _, address = here.receive()
    here.run("vm1")
    told = []
    viewer = threading.Thread(target=lambda: told.append(control.ask("vm1", "watch", {"interval": 0.1}, on_event=told.append, timeout=20)))
    viewer.start()
    until(lambda: told)
    assert here("migrate", "vm1", address, "--bandwidth", "1M", "--max-downtime", "2s").returncode == 0
    viewer.join(20)
    assert told[-1] == {"event": "moved", "to": address}
    seen = [view for view in told[:-1] if view["rounds"]]
    assert seen and seen[-1]["rounds"][0]["number"] == 1 and seen[-1]["status"]["state"] == "migrating"


def test_is_a_receiver_that_waits_watched_too(here):
    here.receive("--name", "there")
    for view in views("there"):
        assert view["status"]["state"] == "waiting" and "stats" not in view


def test_is_the_dirty_log_on_only_while_somebody_watches_it(here):
    here.run("vm1")
    views("vm1")
    assert not logging("vm1")
    seen = views("vm1", 6, log=True)
    harvests = [view["stats"]["dirty log"]["harvests"] for view in seen]
    assert not seen[0]["stats"]["dirty log"]["enabled"] and harvests == sorted(set(harvests)), "each view harvests once"
    assert logging("vm1"), "a viewer that is gone may only have been cut off: its lease runs on"
    until(lambda: not logging("vm1"))


def test_does_a_viewers_log_never_take_pages_from_a_migration(here):
    """The fake guest finds every page that was lost when it ends."""
    there, address = here.receive("--name", "there")
    process = here.run("vm1", append="pages=200 ms=6000 rate=2000")
    stop = threading.Event()

    def watch():
        def take(_):
            if stop.is_set():
                raise Enough

        with pytest.raises((Enough, GnomonError)):
            while True:
                control.ask("vm1", "watch", {"interval": 0.1, "log": True}, on_event=take, timeout=20)

    viewers = [threading.Thread(target=watch) for _ in range(3)]
    for viewer in viewers:
        viewer.start()
    until(lambda: logging("vm1"))
    assert here("migrate", "vm1", address, "--bandwidth", "4M", "--max-downtime", "1s").returncode == 0
    assert process.end() == 0
    stop.set()
    for viewer in viewers:
        viewer.join(20)
    assert there.end() == 0 and there.text().endswith("fake: PASS\n")


@pytest.mark.parametrize("asked", [{"interval": 0.01}, {"interval": "1"}, {"cells": 0}, {"cells": 10**6}, {"log": 1}, {"colour": "red"}])
def test_is_a_wish_that_cannot_be_one_sentence(here, asked):
    here.run("vm1")
    with pytest.raises(GnomonError, match="watch takes an interval of at least"):
        control.ask("vm1", "watch", asked, timeout=20)
