"""handover: can both sides ever run, can the guest ever be nowhere? Every order of every loss is tried."""

from gnomon.migrate.handover import DESTINATION, SOURCE, Destination, Event, Side, Source

SENT_BY_SOURCE = {Source.COMMITTED: Event.COMMIT, Source.RELEASED: Event.RELEASE}


def explore(source_table=SOURCE, destination_table=DESTINATION, *, dest_runs_in=(Destination.OWNER,)):
    """All states that the two sides can be in together: messages in flight may be lost with all that follow them (the connection
    breaks), each side may notice at any time, and each may die at any time. Yields (source, destination), None for a dead side."""
    start = (Source.OWNER, Destination.RECEIVING, "FINISH", "", True)
    seen, todo = {start}, [start]
    while todo:
        now = todo.pop()
        yield now
        for following in successors(now, source_table, destination_table):
            if following not in seen:
                seen.add(following)
                todo.append(following)


def successors(now, source_table, destination_table):
    """(source, destination, word to the destination, word to the source, connected)."""
    s, d, there, back, connected = now
    doubtful = (Source.DOUBT, Source.DOUBT_RELEASED, Destination.DOUBT)
    if connected:
        yield s, d, "", "", False  # the connection breaks: what was in flight is gone …
        if there:
            yield s, d, there, "", False  # … or arrives all the same
        if back:
            yield s, d, "", back, False
    if s is not None and s not in doubtful and not back and not connected and (s, Event.LOST) in source_table:
        yield source_table[s, Event.LOST], d, there, back, connected
    if d is not None and d not in doubtful and not there and not connected and (d, Event.LOST) in destination_table:
        yield s, destination_table[d, Event.LOST], there, back, connected
    if s is not None and connected and s in (Source.COMMITTED, Source.RELEASED):
        yield source_table[s, Event.LOST], d, there, "", False  # a stall: given up while the word is still under way
    if d is not None and connected and (d, Event.LOST) in destination_table:
        yield s, destination_table[d, Event.LOST], "", back, False
    if s is not None and s is not Source.GONE:
        yield None, d, there, "", False  # kill -9
    if d is not None and d is not Destination.DISCARDED:
        yield s, None, "", back, False
    # deliveries
    if there and d is not None:
        event = Event[there]
        if (d, event) in destination_table:
            after = destination_table[d, event]
            answer = {"FINISH": "PREPARED", "COMMIT": "ACK", "RELEASE": "STARTED"}[there]
            yield s, after, "", answer if connected else "", connected
            if event is Event.RELEASE:
                yield s, Destination.DISCARDED, "", "REFUSED" if connected else "", connected  # it could not be started
    if back and s is not None:
        if back == "PREPARED":
            if (s, Event.COMMIT) in source_table:
                yield source_table[s, Event.COMMIT], d, "COMMIT" if connected else "", "", connected
                yield s, d, "", "", False  # COMMIT could not be sent: UNSENT brings the source back to OWNER
        elif (s, Event[back]) in source_table:
            yield source_table[s, Event[back]], d, "RELEASE" if back == "ACK" and connected else "", "", connected


def runs(state, destination_runs_in=(Destination.OWNER,)):
    s, d, *_ = state
    # a source in OWNER while FINISH or PREPARED is open has its vCPUs paused, but could resume at any moment: it counts as running
    return s is Source.OWNER, d in destination_runs_in


def test_can_both_sides_ever_run():
    states = list(explore())
    assert len(states) > 50
    for state in states:
        assert runs(state) != (True, True), state


def test_can_the_guest_ever_be_nowhere_while_a_process_lives_that_had_it():
    """Unless the only process that had it was killed."""
    whole_there = (Destination.PREPARED, Destination.ACCEPTED, Destination.DOUBT, Destination.OWNER)
    for state in explore():
        s, d, *_ = state
        if s is Source.GONE:
            assert d in (Destination.OWNER, None), state
        if s is not None and s is not Source.GONE:
            continue
        if s is None and d is not None:
            assert d in whole_there or d in (Destination.RECEIVING, Destination.DISCARDED), state


def test_is_a_guest_whose_ack_is_lost_whole_on_both_sides_and_paused():
    states = {(s, d) for s, d, *_ in explore()}
    assert (Source.DOUBT, Destination.DOUBT) in states
    assert (Source.DOUBT_RELEASED, Destination.DOUBT) in states
    assert (Source.DOUBT, Destination.OWNER) not in states, "only a source that was heard to release may be followed"


def test_would_a_source_that_resumes_when_the_ack_is_late_be_caught():
    broken = {**SOURCE, (Source.COMMITTED, Event.LOST): Source.OWNER, (Source.RELEASED, Event.LOST): Source.OWNER}
    assert any(runs(state) == (True, True) for state in explore(source_table=broken))


def test_would_a_destination_that_starts_at_commit_be_caught():
    """It would run while the source, without an ACK, says that both are paused."""
    early = (Destination.OWNER, Destination.ACCEPTED)
    assert any(state[0] is Source.DOUBT and runs(state, early)[1] for state in explore())


def test_would_a_destination_that_discards_after_commit_be_caught():
    broken = {**DESTINATION, (Destination.ACCEPTED, Event.LOST): Destination.DISCARDED}
    states = {(s, d) for s, d, *_ in explore(destination_table=broken)}
    assert (None, Destination.DISCARDED) in states and (None, Destination.DOUBT) not in states


def test_is_an_event_that_a_state_does_not_know_an_internal_error():
    side = Side(SOURCE, Source.OWNER)
    try:
        side.on(Event.STARTED)
    except RuntimeError as error:
        assert str(error) == "internal error: STARTED in state OWNER"
    assert side.state is Source.OWNER


def test_do_the_decisions_of_a_person_end_every_doubt():
    for table, doubt, owner, gone in (
        (SOURCE, Source.DOUBT, Source.OWNER, Source.GONE),
        (SOURCE, Source.DOUBT_RELEASED, Source.OWNER, Source.GONE),
        (DESTINATION, Destination.DOUBT, Destination.OWNER, Destination.DISCARDED),
    ):
        assert Side(table, doubt).in_doubt and Side(table, doubt).whole and not Side(table, doubt).may_run
        assert Side(table, doubt).on(Event.RESUME) is owner
        assert Side(table, doubt).on(Event.DISCARD) is gone
