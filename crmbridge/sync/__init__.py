"""One pass: everything between reading a change and having recorded what came of it."""

from crmbridge.sync.cycle import Engine, Outcome
from crmbridge.sync.hands import Event, Only, Options, Progress

__all__ = ["Engine", "Event", "Only", "Options", "Outcome", "Progress"]
