"""app: the screen of `gnomon top`, on Textual. What the parts say is in panels.py; where it comes from in feed.py."""

from __future__ import annotations

import asyncio
import signal
import threading
from dataclasses import replace

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from gnomon.cli import control, units
from gnomon.cli.ps import ANSWER
from gnomon.cli.top import panels
from gnomon.cli.top.feed import Feed, Wish
from gnomon.cli.top.rates import History
from gnomon.cli.watching import MOST_CELLS
from gnomon.errors import GnomonError

LEAST_WIDTH, LEAST_HEIGHT = 80, 24
LIST_PERIOD = 1.0
PANELS = {"harts": "harts", "dirty": "dirty rate", "memory": "memory", "host": "host memory", "rounds": "migration"}


class Seen(Message):
    """A view of the machine has come."""

    def __init__(self, view: dict):
        super().__init__()
        self.view = view


class Ended(Message):
    """There is no machine of that name any more."""

    def __init__(self, why: str):
        super().__init__()
        self.why = why


class Dashboard(Screen):
    """One machine."""

    CSS = """
    Dashboard { layout: vertical; }
    #title { height: 1; background: $panel; }
    #upper { height: 7; }
    #lower { height: 8; }
    #memory { height: 1fr; }
    .panel { border: round $primary; border-title-color: $text; padding: 0 1; width: 1fr; height: 100%; }
    .panel Static { text-wrap: nowrap; text-overflow: ellipsis; }
    #map { height: 1fr; }
    #legend { height: 1; }
    #small { display: none; width: 100%; height: 100%; content-align: center middle; }
    Dashboard.small #small { display: block; }
    Dashboard.small .whole { display: none; }
    """
    BINDINGS = (
        Binding("l", "log", "dirty log"),
        Binding("m", "machines", "machines"),
    )

    def __init__(self, name: str, wish: Wish):
        super().__init__()
        self.machine, self.history = name, History()
        self._wish, self._gone = wish, None
        self._feed: Feed | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="title", classes="whole")
        with Horizontal(id="upper", classes="whole"):
            with VerticalScroll(classes="panel", id="harts"):
                yield Static(id="harts-text")
            with Container(classes="panel", id="dirty"):
                yield Static(id="dirty-text")
        with Container(classes="panel whole", id="memory"):
            yield Static(id="map")
            yield Static(id="legend")
        with Horizontal(id="lower", classes="whole"):
            with VerticalScroll(classes="panel", id="host"):
                yield Static(id="host-text")
            with Container(classes="panel", id="rounds"):
                yield Static(id="rounds-text")
        yield Static(f"gnomon top needs {LEAST_WIDTH} by {LEAST_HEIGHT} characters", id="small")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        for part, what in PANELS.items():
            self.query_one(f"#{part}").border_title = what
        self._feed = Feed(self.machine, self._wish, self._tell(Seen), self._tell(Ended))
        self.draw()

    def _tell(self, kind: type[Message]):
        return lambda what: self.post_message(kind(what))

    def on_unmount(self) -> None:
        if self._feed:
            self._feed.close()

    def on_resize(self, event) -> None:
        self.set_class(event.size.width < LEAST_WIDTH or event.size.height < LEAST_HEIGHT, "small")
        self.call_after_refresh(self._resized)

    def _resized(self) -> None:
        size = self.query_one("#map").size
        if size.area:
            self._ask(cells=min(size.area, MOST_CELLS))
        self.draw()

    def _ask(self, **changes: object) -> None:
        self._wish = replace(self._wish, **changes)
        if self._feed:
            self._feed.wish = self._wish

    def on_seen(self, message: Seen) -> None:
        self._gone = None
        self.history.take(message.view)
        self.draw()

    def on_ended(self, message: Ended) -> None:
        self._gone = message.why
        self.draw()

    def action_log(self) -> None:
        self._ask(log=not self._wish.log)
        self.notify(f"the dirty log is {'on while you watch' if self._wish.log else 'given back'}", timeout=2)

    def action_machines(self) -> None:
        self.app.switch_screen(Machines(self._wish))

    def draw(self) -> None:
        """Write every part anew."""
        history, view = self.history, self.history.view
        self._write("title", panels.title(history, self.size.width, self._gone))
        if view is None:
            return
        self._write("rounds-text", panels.rounds(view, *self._room("rounds")))
        if "stats" not in view:
            self._write("harts-text", panels.nobody(view["status"]["state"]))
            return
        self._write("harts-text", panels.harts(history, self._room("harts")[0]))
        self._write("dirty-text", panels.dirty(history, *self._room("dirty")))
        self._write("host-text", panels.host(history, self._room("host")[0]))
        self._write("map", panels.heat(view["map"], max(1, self._room("map")[0])))
        self._write("legend", panels.legend(view["map"]))
        self.query_one("#memory").border_title = panels.heat_title(view["map"])

    def _room(self, part: str) -> tuple[int, int]:
        size = self.query_one(f"#{part}").size
        return size.width, size.height

    def _write(self, part: str, text: Text) -> None:
        self.query_one(f"#{part}", Static).update(text)


class Machines(Screen):
    """The machines of this user, to choose one."""

    CSS = """
    Machines #head { height: 1; background: $panel; text-style: bold; }
    Machines OptionList { height: 1fr; }
    """

    def __init__(self, wish: Wish):
        super().__init__()
        self._wish = wish
        self._over = threading.Event()

    def compose(self) -> ComposeResult:
        yield Static(" machines · enter watches one", id="head")
        yield OptionList(id="list")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        threading.Thread(target=self._look, name="gnomon-list", daemon=True).start()

    def on_unmount(self) -> None:
        self._over.set()

    def _look(self) -> None:
        while not self._over.is_set():
            self.post_message(Found(_machines()))
            self._over.wait(LIST_PERIOD)

    def on_found(self, message: Found) -> None:
        shown = self.query_one(OptionList)
        names = [m["name"] for m in message.machines]
        if [option.id for option in shown.options] != names:
            at = shown.highlighted or 0
            shown.clear_options()
            shown.add_options(Option(_line(m), id=m["name"]) for m in message.machines)
            shown.highlighted = min(at, len(names) - 1) if names else None
        else:
            for m in message.machines:
                shown.replace_option_prompt(m["name"], _line(m))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.app.switch_screen(Dashboard(event.option.id, self._wish))


class Found(Message):
    """These machines are there now."""

    def __init__(self, machines: list[dict]):
        super().__init__()
        self.machines = machines


def _machines() -> list[dict]:
    found = []
    for name in control.names():
        try:
            found.append(control.ask(name, "status", timeout=ANSWER))
        except GnomonError:
            continue
    return found


def _line(m: dict) -> Text:
    text = Text(f"{m['name']:<20}", style="bold", no_wrap=True)
    text.append(f"  {m['state']:<10} {m['harts']:>2} harts  {units.show_size(m['memory']):>9}  pid {m['pid']}", style="not bold")
    return text


class Top(App):
    """The application; its exit code is 0, 130 after Ctrl-C."""

    BINDINGS = (
        Binding("q", "leave(0)", "quit"),
        Binding("ctrl+c", "leave(130)", "quit", priority=True, show=False),
    )
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, name: str | None, *, interval: float = 0.5, log: bool = False):
        super().__init__()
        self._name, self._wish = name, Wish(interval=interval, log=log)

    def on_mount(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.exit, 128 + number)
        self.push_screen(Dashboard(self._name, self._wish) if self._name else Machines(self._wish))

    def action_leave(self, code: int) -> None:
        self.exit(code)
