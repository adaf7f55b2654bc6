"""The other end of the playground's sockets, through the same wrappers as in the web process."""

import json
from typing import Self

from asgiref.testing import ApplicationCommunicator
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.test import Client

from playground.routing import websocket_urlpatterns
from studio.languages import SocketLanguage

application = SocketLanguage(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))


class Socket:
    """A browser's end of the socket of a row."""

    path = "/ws/playground/"

    def __init__(
        self, client: Client | None, row_id: str, headers: dict[bytes, bytes] | None = None
    ) -> None:
        cookies = client.cookies.values() if client else ()
        cookie = "; ".join(f"{one.key}={one.value}" for one in cookies)
        scope = {
            "type": "websocket",
            "path": f"{self.path}{row_id}/",
            "query_string": b"",
            "headers": [(b"cookie", cookie.encode()), *(headers or {}).items()],
            "subprotocols": [],
        }
        self.application = ApplicationCommunicator(application, scope)

    async def __aenter__(self) -> Self:
        await self.application.send_input({"type": "websocket.connect"})
        assert (await self.application.receive_output(10))["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.application.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.application.wait(10)

    async def send(self, text: str) -> None:
        await self.application.send_input({"type": "websocket.receive", "text": text})

    async def hear(self) -> dict:
        message = await self.application.receive_output(30)
        assert message["type"] == "websocket.send"
        return json.loads(message["text"])

    async def hear_until(self, kind: str) -> list[dict]:
        frames = [await self.hear()]
        while frames[-1]["type"] != kind:
            frames.append(await self.hear())
        return frames

    async def close_code(self) -> int:
        message = await self.application.receive_output(10)
        assert message["type"] == "websocket.close"
        return message["code"]
