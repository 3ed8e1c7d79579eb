"""Whom the page answers: requests that name this server, from its own pages.

A browser may be led to a page of somebody else's whose name is then pointed at 127.0.0.1 (DNS rebinding), or
to one that posts to this server. Such requests carry that page's name in Host or Origin.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::", ""})


def host_of(netloc: str) -> str:
    """The host of "host:port", "[::1]:port" or a URL's netloc, lower case; "" where it is none."""
    if "@" in netloc:  # a user's name before it: no browser sends that
        return ""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").rstrip(".")
    except ValueError:
        return ""


class Guard:
    """ASGI middleware that answers 403 where Host or Origin is not this server.

    ``host``: the address listened on. Its own name and those of the loopback are let in; for an address that
    means "every interface", all literal addresses (no rebinding goes by those) and this machine's name.
    ``names``: further names by which the page is reached (behind a proxy).
    """

    def __init__(self, app: ASGIApp, host: str, names: Iterable[str] = ()) -> None:
        self.app = app
        self.everywhere = host in EVERYWHERE
        self.names = LOOPBACK | {host.strip("[]").lower()} | {name.lower() for name in names}
        if self.everywhere:
            self.names |= {socket.gethostname().lower()}

    def lets_in(self, netloc: str) -> bool:
        """Whether ``netloc`` (a Host header, or an origin's) is this server."""
        name = host_of(netloc)
        return name in self.names or (self.everywhere and _is_address(name))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or self._is_ours(scope):
            await self.app(scope, receive, send)
            return
        from starlette.responses import PlainTextResponse

        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await PlainTextResponse("This page is not served under that name.", 403)(scope, receive, send)

    def _is_ours(self, scope: Any) -> bool:
        found: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.lower(), []).append(value.decode("latin-1"))
        hosts, origins = found.get(b"host", []), found.get(b"origin", [])
        if len(hosts) != 1 or not self.lets_in(hosts[0]) or len(origins) > 1:
            return False
        try:
            return not origins or urlsplit(origins[0]).netloc.lower() == hosts[0].lower()
        except ValueError:  # as in "http://[::1"
            return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
