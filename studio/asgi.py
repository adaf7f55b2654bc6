"""The web process: pages and REST by Django, the playground's websocket by Channels. No torch."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studio.settings")

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402

pages = get_asgi_application()

from playground.routing import websocket_urlpatterns  # noqa: E402
from studio.guard import BodyGuard  # noqa: E402

application = BodyGuard(
    ProtocolTypeRouter(
        {
            "http": pages,
            "websocket": AllowedHostsOriginValidator(
                AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
            ),
        }
    )
)
