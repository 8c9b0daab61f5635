"""One small tree of errors, sorted by who must act. For people there are two kinds: "you can act" and "our bug".

    CrmBridgeError
    ├── ConfigError     who wrote the file: crmbridge.yaml, a mapping, a command line       exit 2
    ├── AccessError     the operator: credentials, rights, a pinned org that changed        exit 4
    ├── OutsideError    a CRM, login, broker, store or disk did not serve                   exit 4
    │   ├── TryLater    nobody: it passes by itself (limits, locks, maintenance)
    │   │   └── LeftAlone  nobody: the CRM is left alone for a while; what was to be done waits
    │   ├── LostAnswer  nobody: sent, answer lost; the engine looks before it repeats
    │   └── LeaseTaken  nobody: another run is at work
    ├── StaleError      nobody: the record moved, plan again
    ├── RefusedError    the data's owner: this record is held, the run goes on
    └── GuardError      the operator must say yes                                           exit 1

Anything else that is raised is our bug (exit 3). Messages never hold a token or a customer's private field.
"""

from typing import ClassVar, Final

WORDS_KEPT: Final = 300  # of a sentence, with a run that failed


class CrmBridgeError(Exception):
    """A sentence: what happened, to which record or line, what to do next."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, fix: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix  # what to do next
        self.code = code  # the CRM's own code, or our stable word

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


class ConfigError(CrmBridgeError):
    exit_code = 2

    def __init__(self, message: str, *, problems: tuple[str, ...] = (), fix: str = "", code: str = "config") -> None:
        super().__init__(message, fix=fix, code=code)
        self.problems = problems  # all at once, each `file:line:column: path: message`


class AccessError(CrmBridgeError):
    exit_code = 4


class OutsideError(CrmBridgeError):
    exit_code = 4


class TryLater(OutsideError):
    def __init__(self, message: str, *, after_seconds: float | None = None, fix: str = "", code: str = "") -> None:
        super().__init__(message, fix=fix, code=code)
        self.after_seconds = after_seconds


class LeftAlone(TryLater):
    """Nothing was sent, and nothing has failed: limits, or trouble over there, and the work goes on afterwards."""


class LostAnswer(OutsideError):
    pass


class LeaseTaken(OutsideError):
    pass


class StaleError(CrmBridgeError):
    exit_code = 1


class RefusedError(CrmBridgeError):
    exit_code = 1

    def __init__(self, message: str, *, code: str = "", fields: tuple[str, ...] = (), fix: str = "") -> None:
        super().__init__(message, fix=fix, code=code)
        self.fields = fields


class GuardError(CrmBridgeError):
    exit_code = 1


def failed_words(error: CrmBridgeError) -> str:
    """How a run that failed ended: the kind of error, and for trouble of the outside what was the matter.

    Other errors may quote a record's values: those stand in the log alone.
    """
    kind = f"failed: {type(error).__name__}"
    if not isinstance(error, (AccessError, OutsideError)) or not error.message:
        return kind
    line = error.message.splitlines()[0]
    said = line if len(line) <= WORDS_KEPT else f"{line[:WORDS_KEPT]}..."
    return f"{kind}: {said}"


# What a defect of ours looks like. It is one record's, and must not keep the others from their turn; a time limit of
# whoever runs us (Celery's is a plain Exception) is nobody's.
DEFECTS: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError),
)
