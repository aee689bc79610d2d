"""Send the digest through Apprise to the URLs in CITYBRAIN_NOTIFY_URLS."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.settings import Settings


@dataclass(frozen=True)
class Sent:
    """An attempt: how many channels there are, and why not all took the message (None: all did)."""

    channels: int
    error: str | None


def send(settings: Settings, title: str, body: str) -> Sent:
    """Send one message to every configured channel; a channel that fails is no exception.

    URLs carry secrets: they are neither logged nor returned.
    """
    urls = settings.notify_urls.get_secret_value().split()
    if not urls:
        return Sent(0, None)
    import apprise

    channels = apprise.Apprise()
    unknown = sum(not channels.add(url) for url in urls)
    delivered = channels.notify(title=title, body=body) if len(channels) else False
    if unknown:
        return Sent(len(urls), f"{unknown} of {len(urls)} notify URLs are of no known kind")
    return Sent(len(urls), None if delivered else "at least one channel refused the message")
