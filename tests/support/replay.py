"""A transport that answers from a list or from a function, in place of a socket; it keeps what was asked."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Replay(BaseAdapter):
    def __init__(self, answers: Iterable[Said] | Callable[[requests.PreparedRequest], Said]) -> None:
        super().__init__()
        self._answer = answers if callable(answers) else None
        self._queue = iter(()) if callable(answers) else iter(answers)
        self.asked: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        self.asked.append(request)
        said = self._answer(request) if self._answer else next(self._queue)
        response = requests.Response()
        response.status_code = said.status
        response.headers = CaseInsensitiveDict(said.headers)
        response.raw = io.BytesIO(said.body)
        response.request = request
        response.url = request.url or ""
        return response

    def close(self) -> None:
        pass
