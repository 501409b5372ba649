"""top: does the screen show a machine that runs, through its end and beyond? With Textual's pilot, and in a terminal of its own."""

import asyncio
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

import pytest
from cli_rig import AT_ONCE, FAKE, LONG
from migrate_rig import FORWARD, Proxy, hold
from textual.widgets import OptionList, Static

from gnomon.cli.top.app import Dashboard, Top
from gnomon.cli.top.command import top
from gnomon.errors import GnomonError
from gnomon.migrate.wire import Type


@pytest.fixture
def here(gnomon, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", gnomon.environment["XDG_RUNTIME_DIR"])
    return gnomon


def text(app, part):
    return app.screen.query_one(f"#{part}", Static).render().plain if app.screen.query(f"#{part}") else ""


async def until(pilot, condition):
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end, "\n".join(str(shown.render()) for shown in pilot.app.screen.query(Static))
        await pilot.pause(0.05)


def drive(app, script, size=(80, 24)):
    """Run `script(pilot)` on the screen of `app`; returns the app's exit code."""

    async def run():
        async with app.run_test(size=size) as pilot:
            await script(pilot)
        return app.return_value

    return asyncio.run(run())


def test_are_harts_memory_and_slabs_on_a_screen_of_80_by_24(here):
    here.run("vm1")
    app = Top("vm1", interval=0.1)

    async def script(pilot):
        await until(pilot, lambda: "MIPS" in text(app, "harts-text"))
        assert text(app, "title").startswith(" vm1 running  2 harts  16 MiB")
        assert [line[:3] for line in text(app, "harts-text").splitlines()] == [" 0 ", " 1 "]
        assert "the dirty log is off" in text(app, "dirty-text")
        shown = app.screen.query_one("#map").size
        await until(pilot, lambda: len(text(app, "map").replace("\n", "")) == shown.width * shown.height)
        assert {"▓", "·"} <= set(text(app, "map")) and "untouched" in text(app, "legend")
        assert "7 of 64" in text(app, "host-text") and "slab tables" in text(app, "host-text")
        for part in ("harts", "dirty", "memory", "host", "rounds"):
            area = app.screen.query_one(f"#{part}").region
            assert area.area and area.right <= 80 and area.bottom <= 23, part
        await pilot.press("q")

    assert drive(app, script) == 0


def test_does_it_follow_a_resize_and_say_when_there_is_no_room(here):
    here.run("vm1")
    app = Top("vm1", interval=0.1)

    async def script(pilot):
        for size in ((80, 24), (132, 43), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "MIPS" in text(app, "harts-text"))
            area = app.screen.query_one("#map").size
            cells = min(area.area, 4096)
            await until(pilot, lambda cells=cells: len(text(app, "map").replace("\n", "")) == cells)
        await pilot.resize_terminal(60, 20)
        await until(pilot, lambda: app.screen.query_one("#small").display)
        assert not app.screen.query_one("#memory").display
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: app.screen.query_one("#memory").display)
        await pilot.press("q")

    assert drive(app, script) == 0


def test_does_l_turn_the_dirty_log_on_and_the_sparkline_rise(here):
    here.run("vm1")
    app = Top("vm1", interval=0.1)

    async def script(pilot):
        await until(pilot, lambda: "the dirty log is off" in text(app, "dirty-text"))
        await pilot.press("l")
        await until(pilot, lambda: "MB/s" in text(app, "dirty-text") and "█" in text(app, "dirty-text"))
        history = app.screen.history
        await until(pilot, lambda: history.view["stats"]["dirty log"]["enabled"] and (history.rates.dirtied or 0) > 0)
        await pilot.press("l")
        await until(pilot, lambda: "the dirty log is off" in text(app, "dirty-text"))
        assert history.rates.dirtied is None and "MB/s" not in text(app, "dirty-text")
        await pilot.press("q")

    assert drive(app, script) == 0


def test_does_it_survive_the_machines_end_and_find_the_next_of_that_name(here):
    first = here.run("vm1", append="pages=50 keys=1 rate=1000")
    app = Top("vm1", interval=0.1)

    async def script(pilot):
        await until(pilot, lambda: "MIPS" in text(app, "harts-text"))
        first.type()
        await until(pilot, lambda: "vm1 has ended with exit code 0" in text(app, "title"))
        assert "MIPS" in text(app, "harts-text"), "the last picture stays"
        assert first.end() == 0
        second = here.run("vm1")
        await until(pilot, lambda: f"pid {second.pid}" in text(app, "title"))
        second.kill()
        await until(pilot, lambda: text(app, "title").endswith("waiting for its next run"))

    drive(app, script)


def test_are_the_rounds_of_a_migration_shown_and_where_the_guest_went(here):
    _, address = here.receive("--name", "there")
    here.run("vm1")
    app = Top("vm1", interval=0.1)

    async def script(pilot):
        await until(pilot, lambda: "none seen" in text(app, "rounds-text"))
        with Proxy(address, direction=FORWARD, kind=Type.ROUND_END, nth=2, act=hold) as proxy:
            client = here.start("migrate", "vm1", proxy.address, *AT_ONCE)
            await until(pilot, lambda: "vm1 migrating" in text(app, "title"))
            await until(pilot, lambda: "round  pages" in text(app, "rounds-text"))
            proxy.release()
            await until(pilot, lambda: f"vm1 moved, and now runs on {proxy.address}" in text(app, "title"))
        assert client.end() == 0

    drive(app, script)


def test_are_the_machines_listed_where_several_run(here):
    here.run("vm1")
    here.run("vm2")
    app = Top(None, interval=0.1)

    async def script(pilot):
        await until(pilot, lambda: app.screen.query(OptionList) and app.screen.query_one(OptionList).option_count == 2)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, Dashboard) and text(app, "title").startswith(" vm2 running"))
        await pilot.press("m")
        await until(pilot, lambda: bool(app.screen.query(OptionList)))
        await pilot.press("ctrl+c")

    assert drive(app, script) == 130


@pytest.fixture
def terminal(monkeypatch):
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


def test_is_it_one_sentence_where_textual_is_not_installed(here, terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, "textual", None)
    for name in [name for name in sys.modules if name.startswith(("textual.", "gnomon.cli.top.app"))]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(GnomonError, match="needs Textual, which is not installed") as failure:
        top("vm1")
    assert failure.value.hint == "pip install 'gnomon[tui]'"


def test_are_other_mistakes_one_sentence_too(here, terminal):
    with pytest.raises(GnomonError, match="no machine is running"):
        top()
    with pytest.raises(GnomonError, match="no machine is named vm1"):
        top("vm1")
    with pytest.raises(GnomonError, match="the interval is at least 100 ms"):
        top("vm1", interval="5ms")


def test_does_it_refuse_to_draw_into_a_pipe(gnomon):
    result = gnomon("top")
    assert result.returncode == 2 and b"gnomon top needs a terminal" in result.stderr and not result.stdout


class Terminal:
    """`gnomon` in a pseudo-terminal of 80 by 24."""

    def __init__(self, gnomon, *words, **environment):
        self.fd, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [*FAKE, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**gnomon.environment, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""

    def read(self, within=0.1):
        if select.select([self.fd], [], [], within)[0]:
            try:
                self.seen += os.read(self.fd, 1 << 16)
            except OSError:
                return False  # the other side is closed
        return True

    def until(self, wanted):
        end = time.monotonic() + LONG
        while wanted not in self.seen:
            assert time.monotonic() < end, self.seen[-2000:]
            self.read()

    def end(self):
        end = time.monotonic() + LONG
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        while self.read(0) and select.select([self.fd], [], [], 0)[0]:
            pass
        os.close(self.fd)
        return self.process.wait(LONG)


@pytest.mark.parametrize(("how", "code"), [(b"q", 0), (b"\x03", 130), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_does_it_leave_the_terminal_as_it_was(gnomon, how, code):
    gnomon.run("vm1")
    screen = Terminal(gnomon, "top", "vm1", "--interval", "100ms")
    screen.until(b"MIPS")
    if isinstance(how, bytes):
        os.write(screen.fd, how)
    else:
        screen.process.send_signal(how)
    assert screen.end() == code
    assert screen.seen.rstrip().endswith(b"\x1b[?1049l") or b"\x1b[?1049l" in screen.seen[-400:], "back from the alternate screen"


def test_is_every_state_told_without_colour(gnomon):
    gnomon.run("vm1")
    screen = Terminal(gnomon, "top", "vm1", "--interval", "100ms", "--log", NO_COLOR="1")
    screen.until(b"untouched")
    screen.until("█".encode())
    os.write(screen.fd, b"q")
    assert screen.end() == 0
    assert not [part for part in screen.seen.split(b"\x1b[") if part[:5] in (b"38;5;", b"48;5;") and _coloured(part)]


def _coloured(part):
    number = int(part.split(b"m")[0].split(b";")[2])
    return number < 232 and number not in (0, 7, 8, 15, 16, 231)
