"""receive: wait for a guest, take it over, run it to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gnomon.cli import control, say, units
from gnomon.cli.console import Output, feed
from gnomon.cli.hosted import Hosted
from gnomon.cli.run import FLUSH, make_machine, traced, warn_of


def receive(
    address: Annotated[str, Parameter(help="HOST:PORT to listen on; port 0 takes any free one.")],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Its name here; by default the one it comes with.")] = None,
    timeout: Annotated[str, Parameter(help="How long the source may say nothing before the guest is discarded.")] = "10s",
    design: Annotated[str, Parameter(help="axis=choice,…: how its MMU works here; gnomon designs lists them.")] = "",
    trace: Annotated[Path | None, Parameter(help="Write what it did here over time, for Perfetto.")] = None,
    json: Annotated[bool, Parameter(help="Events as JSON lines on stdout.")] = False,
) -> int:
    """Receive one migrating guest and run it: its console on stdout, its exit code as exit code."""
    from gnomon.cli.warming import machine_class
    from gnomon.migrate import Receiver, destination

    warn_of(design)
    patience = units.duration(timeout, "the timeout", least=0.1)
    output = Output(json=json)
    hosted = Hosted(control.Claim(name) if name else None, on_event=output.event, note=say.note)

    def build(memory: int, harts: int, *, shadow_pages: int, name: str):
        nonlocal hosted
        if hosted.name is None:
            hosted = Hosted(control.claim_free(name or "guest"), on_event=output.event, note=say.note)
        return make_machine(memory, harts, name=hosted.name, shadow_pages=shadow_pages, console=output, design=design)

    try:
        machine_class()  # compile before anyone waits for an answer
        with Receiver(address, machine=build, timeout=patience) as receiver:
            say.note(f"waiting for a guest on {receiver.address}")
            output.event("listening", address=receiver.address)
            try:
                arrival = receiver.receive()
            except destination.InDoubt as doubt:
                arrival = doubt.arrival
                hosted.adopt(arrival.machine, held=True, doubt=doubt)
                say.error(doubt)
                output.event("in doubt", message=doubt.message, hint=doubt.hint)
            else:
                hosted.adopt(arrival.machine, held=not arrival.running)
                say.note(_welcome(arrival, hosted.name))
                output.event(
                    "received",
                    name=hosted.name,
                    peer=arrival.peer,
                    pages=arrival.pages,
                    digest=arrival.digest,
                    seconds=arrival.seconds,
                    running=arrival.running,
                )
        feed(arrival.machine.send_console)
        with traced(trace, hosted, hosted.name) as tracer:
            if tracer:
                tracer.start(arrival.machine)
            return hosted.wait(output.broken)
    finally:
        hosted.end_machine()
        output.flush(FLUSH)
        hosted.close()


def _welcome(arrival, name: str) -> str:
    went_on = "runs here" if arrival.running else f"is paused, as it was there: gnomon resume {name} goes on"
    return f"{name} came from {arrival.peer} in {units.show_duration(arrival.seconds)} and {went_on}"
