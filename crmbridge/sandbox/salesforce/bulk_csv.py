"""CSV of the Bulk APIs: delimiters by name, line ends that must match, results in quotes (salesforce-api §4.2).

A file is read a batch at a time from where the last batch ended, so that a job can stop half-way and go on later.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final

DELIMITERS: Final = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
ENDINGS: Final = {"LF": "\n", "CRLF": "\r\n"}
HEADER_CHARACTERS_MAX: Final = 32_000
NULL: Final = "#N/A"  # an empty cell is no value at all


class JobFailure(Exception):
    """What stops a job or a batch as a whole; told as `Code : message` (§4.4)."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(f"{code} : {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    delimiter: str = "COMMA"
    ending: str = "LF"


@dataclass(kw_only=True)
class Source:
    """One uploaded file and how far it has been read."""

    text: str
    dialect: Dialect
    header: tuple[str, ...]
    start: int  # where the first row begins
    at: int  # where the next row begins

    def take(self, count: int) -> list[list[str]]:
        """The next rows, at most so many; blank lines are none (§4.2)."""
        stream = StringIO(self.text, newline="")
        stream.seek(self.at)
        rows: list[list[str]] = []
        try:
            for row in csv.reader(stream, delimiter=DELIMITERS[self.dialect.delimiter], strict=True):
                if not row:
                    continue
                if len(row) != len(self.header):  # what a real org answers is (unverified)
                    message = f"Failed to parse CSV. A row has {len(row)} columns, the header has {len(self.header)}"
                    raise JobFailure("InvalidBatch", message)
                rows.append(row)
                if len(rows) == count:
                    break
        except csv.Error:
            raise _unescaped() from None
        self.at = stream.tell()
        return rows

    def rows(self) -> Iterable[list[str]]:
        """All rows from the first one on, as far as they can be read; the place is not moved."""
        stream = StringIO(self.text, newline="")
        stream.seek(self.start)
        reader = csv.reader(stream, delimiter=DELIMITERS[self.dialect.delimiter])
        while True:
            try:
                row = next(reader)
            except (StopIteration, csv.Error):
                return
            if row:
                yield row


def opened(body: bytes, dialect: Dialect) -> Source:
    """The file with its header read, or what is wrong with it as a whole."""
    try:
        text = body.decode("utf-8-sig")  # a byte order mark is no part of the first name (unverified)
    except UnicodeDecodeError:  # §4.2: UTF-8; the text is (unverified)
        raise JobFailure("ClientInputError", "The data is not encoded in UTF-8") from None
    if not text.strip():  # clients send nothing for an empty list, and are told of a job without rows
        return Source(text=text, dialect=dialect, header=(), start=len(text), at=len(text))
    end = text.find("\n")
    crlf = end > 0 and text[end - 1] == "\r"
    if end >= 0 and crlf is not (dialect.ending == "CRLF"):
        message = f"LineEnding is invalid on user data. Current LineEnding setting is {dialect.ending}"
        raise JobFailure("ClientInputError", message)
    stream = StringIO(text, newline="")
    try:
        header = next(csv.reader(stream, delimiter=DELIMITERS[dialect.delimiter], strict=True))
    except csv.Error:
        raise _unescaped() from None
    start = stream.tell()
    if start > HEADER_CHARACTERS_MAX:  # (unverified)
        raise JobFailure("InvalidBatch", f"The header is longer than {HEADER_CHARACTERS_MAX} characters")
    return Source(text=text, dialect=dialect, header=tuple(name.strip() for name in header), start=start, at=start)


def _unescaped() -> JobFailure:
    message = "Failed to parse CSV. Found unescaped quote. A value with quote should be within a quote"
    return JobFailure("InvalidBatch", message)


def written(header: Sequence[str], rows: Iterable[Sequence[str]], dialect: Dialect) -> bytes:
    """Results: every cell in quotes, the header first (§4.2)."""
    stream = StringIO(newline="")
    writer = csv.writer(
        stream,
        delimiter=DELIMITERS[dialect.delimiter],
        lineterminator=ENDINGS[dialect.ending],
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().encode()
