"""migrate: move a running guest to another process or host, and lose nothing.

report = migrate(machine, "host:7000")               at the source
arrival = Receiver("0.0.0.0:7000").receive()         at the destination
"""

from gnomon.migrate.channel import Lost, Refused
from gnomon.migrate.destination import Arrival, Receiver
from gnomon.migrate.rounds import Report, Round
from gnomon.migrate.source import Cancelled, Ended, InDoubt, NotConverging, Options, migrate
from gnomon.migrate.wire import WireError

__all__ = [
    "Arrival",
    "Cancelled",
    "Ended",
    "InDoubt",
    "Lost",
    "NotConverging",
    "Options",
    "Receiver",
    "Refused",
    "Report",
    "Round",
    "WireError",
    "migrate",
]
