"""Problems end with their code; a test of a sentence looks at what stands before, once the code is a known one."""

import re

from mapping.codes import CODES


def sentence(problem: str) -> str:
    said = re.fullmatch(r"(.*) \[([a-z0-9-]+)\]", problem, re.DOTALL)
    assert said is not None, f"no code: {problem}"
    assert said[2] in CODES, said[2]
    return said[1]
