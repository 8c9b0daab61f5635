"""Telling somebody outside: a webhook, an e-mail, a program of the operator's. Each returns when it was taken, else it
raises `NotTold` with a reason that holds no secret.

The webhook's signature is made as many services make it: HMAC-SHA256, with the shared secret, over the time in seconds,
a dot, and the body; header `X-Crmbridge-Signature: t=TIME,v1=HEX`. Whoever receives it can refuse old ones.
"""

import hashlib
import hmac
import json
import os
import smtplib
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Final
from urllib.parse import urlsplit

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 30.0
SIGNATURE: Final = "X-Crmbridge-Signature"
# What a program of the operator's is given of our environment: no secret of ours.
_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")

Body = Mapping[str, str]


class NotTold(Exception):
    """It was not taken; it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    url: str
    secret: str | None = field(default=None, repr=False)
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    to: tuple[str, ...]
    sender: str
    server: str  # host:port
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    encrypted: bool = True  # STARTTLS
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    argv: tuple[str, ...]


Channel = Webhook | Email | Command


def tell(channel: Channel, body: Body) -> None:
    match channel:
        case Webhook():
            _post(channel, body)
        case Email():
            _mail(channel, body)
        case Command():
            _run(channel, body)


def _post(channel: Webhook, body: Body) -> None:
    import requests  # late: most commands tell nobody anything

    content = json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "crmbridge"}
    if channel.secret is not None:
        headers[SIGNATURE] = sign(channel.secret, int(time.time()), content)
    with requests.Session() as session:
        session.trust_env = False  # no proxy and no password file of the process's surroundings
        try:
            answer = session.post(
                channel.url,
                data=content,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                verify=channel.ca_file or True,
                allow_redirects=False,  # an alert goes where it was sent to, and nowhere else
                stream=True,  # what it answers is nobody's affair
            )
        except requests.RequestException as error:
            host = urlsplit(channel.url).hostname or ""
            raise NotTold(f"{host} does not answer ({type(error).__name__})") from None  # its text may hold the path
        with answer:
            if not answer.ok or answer.is_redirect:
                raise NotTold(f"it answered {answer.status_code}")


def sign(secret: str, at: int, content: bytes) -> str:
    made = hmac.new(secret.encode(), f"{at}.".encode() + content, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


def _mail(channel: Email, body: Body) -> None:
    message = EmailMessage()
    message["Subject"] = f"crmbridge {body['kind']} {body['event']}: {body['message']}"[:200]
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in body.items()]
    message.set_content("\n".join([body["message"], "", *lines, ""]))
    host, _, port = channel.server.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=ANSWER_SECONDS) as server:
            if channel.encrypted:
                server.starttls(context=ssl.create_default_context(cafile=channel.ca_file))
            if channel.user is not None and channel.password is not None:
                server.login(channel.user, channel.password)
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise NotTold(f"{host} refused it ({error.smtp_code})") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotTold(f"{host} did not take it ({type(error).__name__})") from None


def _run(channel: Command, body: Body) -> None:
    given = {name: os.environ[name] for name in _KEPT if name in os.environ}
    given |= {f"CRMBRIDGE_ALERT_{name.upper()}": value for name, value in body.items()}
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own words, and no shell
            channel.argv,
            input=json.dumps(body, ensure_ascii=False),
            env=given,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise NotTold(f"{channel.argv[0]} cannot be run ({type(error).__name__})") from None
    if done.returncode:
        raise NotTold(f"{channel.argv[0]} ended with {done.returncode}")
