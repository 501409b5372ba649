"""GnomonError: what a user is told when something cannot be done. One sentence, a hint, an exit code; never a traceback."""

from __future__ import annotations


class GnomonError(Exception):
    """`message` is one sentence without a full stop, its last value after a colon; `hint` says what to do about it.

    exit_code   1: it failed, 2: it was asked for wrongly, 3: a hand-over is in doubt and waits for a decision
    """

    def __init__(self, message: str, hint: str | None = None, *, exit_code: int = 1):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
