"""`python -m tests.chaos --seed 20 --kills 200 ...`: a run with real processes, and its summary."""

import sys

from tests.chaos.plan import from_words

if __name__ == "__main__":
    plan = from_words()
    if plan.way == "naive":
        from tests.chaos.naive_run import run as run_naive

        found = run_naive(plan)
        print(found)
        sys.exit(0 if found.duplicates else 1)
    from tests.chaos.run import run

    report = run(plan)
    print(report)
    sys.exit(0 if report.clean else 1)
