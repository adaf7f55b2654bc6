"""The web process: pages and REST by Django, the playground's websocket by Channels. No torch."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

pages = get_asgi_application()

import studio.urls  # noqa: E402, F401 - before the port opens, so that the first visitor does not wait
from playground.routing import websocket_urlpatterns  # noqa: E402
from studio.guard import BodyGuard, SameOrigin  # noqa: E402
from studio.languages import SocketLanguage  # noqa: E402
from training import heartbeats  # noqa: E402

heartbeats.watch()

application = BodyGuard(
    ProtocolTypeRouter(
        {
            "http": pages,
            "websocket": AllowedHostsOriginValidator(
                SameOrigin(SocketLanguage(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))))
            ),
        }
    )
)
