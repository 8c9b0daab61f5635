"""A channel of the settings with its secrets, as `crmbridge.notify` tells through it."""

from crmbridge import notify
from crmbridge.settings.alerts import AlertChannel


def channel_of(given: AlertChannel) -> notify.Channel:
    """With its secrets. Raises ConfigError where a reference leads nowhere."""
    if given.webhook:
        secret = given.secret.get_secret_value() if given.secret else None
        return notify.Webhook(url=given.webhook, secret=secret, ca_file=given.ca_file)
    if given.command:
        return notify.Command(argv=given.command)
    return notify.Email(
        to=given.email or (),
        sender=given.sender or "",
        server=given.server or "",
        user=given.user,
        password=given.password.get_secret_value() if given.password else None,
        encrypted=given.encryption == "starttls",
        ca_file=given.ca_file,
    )
