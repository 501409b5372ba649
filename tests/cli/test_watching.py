"""watch: is a viewer told what happens until the end, and is the dirty log only lent to it?"""

import threading
from types import SimpleNamespace

import pytest
from cli_rig import AT_ONCE, LONG, until
from migrate_rig import FORWARD, Machine, Proxy, hold

from gnomon.cli import control, watching
from gnomon.errors import GnomonError
from gnomon.migrate.wire import Type


@pytest.fixture
def here(gnomon, monkeypatch):
    """Ask the machines of the test from this process too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", gnomon.environment["XDG_RUNTIME_DIR"])
    return gnomon


class Enough(Exception):
    pass


def views(name, enough=lambda seen: len(seen) == 3, **asked):
    """The views of a machine until there are enough."""
    seen = []

    def take(view):
        seen.append(view)
        if enough(seen):
            raise Enough

    with pytest.raises(Enough):
        control.ask(name, "watch", {"interval": 0.1, **asked}, on_event=take, timeout=LONG)
    return seen


def logging(name):
    return bool(control.ask(name, "stats", timeout=LONG)["dirty log"]["enabled"])


def viewer_of(name):
    """A thread that watches a machine to its end, and what it was told; it was told something when this returns."""
    told = []

    def watch():
        told.append(control.ask(name, "watch", {"interval": 0.1}, on_event=told.append, timeout=LONG))

    thread = threading.Thread(target=watch)
    thread.start()
    until(lambda: told)
    return thread, told


def test_does_a_view_have_what_a_screen_shows(here):
    here.run("vm1")

    def written(view):
        return view["stats"]["harts"]["exits"]

    def all_wrote(seen):
        return all(after > before for before, after in zip(written(seen[0]), written(seen[-1]), strict=True))

    first, *_, last = views("vm1", all_wrote, cells=100)
    assert first["status"]["state"] == "running" and first["status"]["harts"] == 2
    assert last["clock"] > first["clock"] and len(last["map"]["cells"]) == len(last["map"]["dirty"]) == 100
    assert 0 < last["cost"] <= 0.011, "the pause after a view is 100 times what it cost"


def test_is_a_viewer_told_how_the_machine_ended(here):
    process = here.run("vm1")
    viewer, told = viewer_of("vm1")
    assert process.finish() == 0
    viewer.join(LONG)
    assert told[-1] == {"event": "exit", "code": 0}
    here.run("vm2")
    viewer, told = viewer_of("vm2")
    assert here("stop", "vm2").returncode == 0
    viewer.join(LONG)
    assert told[-1] == {"event": "stopped"}


def test_does_a_viewer_see_the_rounds_and_where_the_guest_went(here):
    _, address = here.receive()
    here.run("vm1")
    viewer, told = viewer_of("vm1")
    with Proxy(address, direction=FORWARD, kind=Type.ROUND_END, nth=2, act=hold) as proxy:
        client = here.start("migrate", "vm1", proxy.address, *AT_ONCE)
        until(lambda: told[-1]["rounds"])
        proxy.release()
        assert client.end() == 0
        viewer.join(LONG)
        assert told[-1] == {"event": "moved", "to": proxy.address}
    seen = [view for view in told[:-1] if view["rounds"]]
    assert seen[0]["rounds"][0]["number"] == 1 and seen[0]["status"]["state"] == "migrating"


def test_is_a_receiver_that_waits_watched_too(here):
    here.receive("--name", "there")
    for view in views("there"):
        assert view["status"]["state"] == "waiting" and "stats" not in view


def test_is_the_dirty_log_on_only_while_somebody_watches_it(here):
    here.run("vm1")
    views("vm1")
    assert not logging("vm1")
    seen = views("vm1", lambda seen: len(seen) == 6, log=True)
    harvests = [view["stats"]["dirty log"]["harvests"] for view in seen]
    assert not seen[0]["stats"]["dirty log"]["enabled"] and harvests == sorted(set(harvests)), "each view harvests once"
    until(lambda: not logging("vm1"))


def test_does_the_lease_of_the_log_run_on_when_a_viewer_is_gone(monkeypatch):
    """It may only have been cut off; three seconds of a clock that goes when it is told to."""
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: now.at, thread_time=lambda: 0.0))
    machine, left = Machine(1 << 20, 1), threading.Event()
    shown = watching.Watching(SimpleNamespace(machine=machine, settled=True, status=dict), threading.Lock())
    shown.serve(lambda _: left.set(), left, threading.Event(), {"interval": 0.1, "log": True})
    for at, enabled in ((100.0, True), (102.9, True), (103.1, False)):
        now.at = at
        shown.expire()
        assert machine.logging == enabled


def test_does_a_viewers_log_never_take_pages_from_a_migration(here):
    """The fake guest finds every page that was lost when it ends."""
    there, address = here.receive("--name", "there")
    process = here.run("vm1", append="pages=200 keys=1 rate=2000")
    stop = threading.Event()

    def watch():
        def take(_):
            if stop.is_set():
                raise Enough

        with pytest.raises((Enough, GnomonError)):
            while True:
                control.ask("vm1", "watch", {"interval": 0.1, "log": True}, on_event=take, timeout=LONG)

    viewers = [threading.Thread(target=watch) for _ in range(3)]
    for viewer in viewers:
        viewer.start()
    until(lambda: logging("vm1"))
    assert here("migrate", "vm1", address, "--bandwidth", "4M", *AT_ONCE).returncode == 0
    assert process.end() == 0
    stop.set()
    for viewer in viewers:
        viewer.join(LONG)
    assert there.finish() == 0 and there.text().endswith("fake: PASS\n")


@pytest.mark.parametrize("asked", [{"interval": 0.01}, {"interval": "1"}, {"cells": 0}, {"cells": 10**6}, {"log": 1}, {"colour": "red"}])
def test_is_a_wish_that_cannot_be_one_sentence(here, asked):
    here.run("vm1")
    with pytest.raises(GnomonError, match="watch takes an interval of at least"):
        control.ask("vm1", "watch", asked, timeout=LONG)
