"""The command line. Commands are imported when they are called, so that `crmbridge --help` starts at once."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """The `crmbridge` program."""
    from crmbridge.cli.error_handler import run

    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(words))
