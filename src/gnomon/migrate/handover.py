"""handover: who may run the guest, as two small state machines. No socket and no clock in here, so that a test can try every order.

           source                                        destination
           OWNER       all vCPUs paused, FINISH      →   RECEIVING
                       ←   PREPARED  same memory, same state hashed to the same digest
           COMMITTED   COMMIT                        →   PREPARED
                       ←   ACK                           ACCEPTED    whole, owns nothing yet
           RELEASED    RELEASE: ownership given up   →
           GONE        ←   STARTED                       OWNER       starts, then says so

No protocol over a connection that can break lets both sides always know (two generals); this one chooses where the doubt lies:

    broken before COMMIT was sent     the source owns and resumes, the destination discards
    broken after it                   whoever cannot know stays paused and whole, and waits for a person: `resume` or `discard`

Guarantees O1  without a person's resume, the two sides are never OWNER with vCPUs running at once
           O2  a side that has not been told of the other's taking over keeps the guest whole
           O3  no vCPU waits without bound: before COMMIT one deadline covers the whole pause; after it the side says that it is in doubt
"""

from __future__ import annotations

from enum import Enum


class Event(Enum):
    COMMIT = "COMMIT"
    """sent by the source, received by the destination"""
    ACK = "ACK"
    RELEASE = "RELEASE"
    STARTED = "STARTED"
    FINISH = "FINISH"
    REFUSED = "REFUSED"
    """the peer said ABORT: it surely does not own the guest and never will"""
    UNSENT = "UNSENT"
    """the message that this state followed was surely not sent whole"""
    LOST = "LOST"
    """connection broken, peer stalled, or talking nonsense"""
    RESUME = "RESUME"
    DISCARD = "DISCARD"
    """decisions of a person"""


class Source(Enum):
    OWNER = "owner"
    COMMITTED = "committed"
    RELEASED = "released"
    DOUBT = "doubt"
    """COMMIT went out, no ACK came: most likely the peer does not run it, but it may be waiting to be told"""
    DOUBT_RELEASED = "doubt, released"
    """RELEASE went out, no STARTED came: most likely the peer runs it"""
    GONE = "gone"


class Destination(Enum):
    RECEIVING = "receiving"
    PREPARED = "prepared"
    ACCEPTED = "accepted"
    DOUBT = "doubt"
    OWNER = "owner"
    DISCARDED = "discarded"


SOURCE = {
    (Source.OWNER, Event.COMMIT): Source.COMMITTED,
    (Source.OWNER, Event.LOST): Source.OWNER,
    (Source.OWNER, Event.REFUSED): Source.OWNER,
    (Source.COMMITTED, Event.UNSENT): Source.OWNER,
    (Source.COMMITTED, Event.REFUSED): Source.OWNER,
    (Source.COMMITTED, Event.ACK): Source.RELEASED,
    (Source.COMMITTED, Event.LOST): Source.DOUBT,
    (Source.RELEASED, Event.UNSENT): Source.DOUBT,
    (Source.RELEASED, Event.REFUSED): Source.OWNER,
    (Source.RELEASED, Event.STARTED): Source.GONE,
    (Source.RELEASED, Event.LOST): Source.DOUBT_RELEASED,
    (Source.DOUBT, Event.RESUME): Source.OWNER,
    (Source.DOUBT, Event.DISCARD): Source.GONE,
    (Source.DOUBT_RELEASED, Event.RESUME): Source.OWNER,
    (Source.DOUBT_RELEASED, Event.DISCARD): Source.GONE,
}

DESTINATION = {
    (Destination.RECEIVING, Event.FINISH): Destination.PREPARED,
    (Destination.RECEIVING, Event.LOST): Destination.DISCARDED,
    (Destination.RECEIVING, Event.REFUSED): Destination.DISCARDED,
    (Destination.PREPARED, Event.COMMIT): Destination.ACCEPTED,
    (Destination.PREPARED, Event.LOST): Destination.DISCARDED,
    (Destination.PREPARED, Event.REFUSED): Destination.DISCARDED,
    (Destination.ACCEPTED, Event.RELEASE): Destination.OWNER,
    (Destination.ACCEPTED, Event.LOST): Destination.DOUBT,
    (Destination.OWNER, Event.DISCARD): Destination.DISCARDED,
    (Destination.DOUBT, Event.RESUME): Destination.OWNER,
    (Destination.DOUBT, Event.DISCARD): Destination.DISCARDED,
}


class Side:
    """One side's state, moved by events; an event its state does not know is an internal error, never a guess."""

    def __init__(self, table: dict, start: Enum):
        self._table = table
        self.state = start

    def on(self, event: Event) -> Enum:
        try:
            self.state = self._table[self.state, event]
        except KeyError:
            raise RuntimeError(f"internal error: {event.name} in state {self.state.name}") from None
        return self.state

    @property
    def may_run(self) -> bool:
        """Whether vCPUs may run here."""
        return self.state in (Source.OWNER, Destination.OWNER)

    @property
    def in_doubt(self) -> bool:
        """Whether only a person can decide."""
        return self.state in (Source.DOUBT, Source.DOUBT_RELEASED, Destination.DOUBT)

    @property
    def whole(self) -> bool:
        """Whether the whole guest is kept here, running or not."""
        return self.state not in (Source.GONE, Destination.DISCARDED, Destination.RECEIVING)


def source() -> Side:
    return Side(SOURCE, Source.OWNER)


def destination() -> Side:
    return Side(DESTINATION, Destination.RECEIVING)
