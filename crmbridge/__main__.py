"""`python -m crmbridge` is the same program."""

from crmbridge.cli import main

main()
