"""The frame's one settings file: environment in, Django settings out.

A value that cannot be used stops the start with one line that names the variable and what it takes.
Every variable is listed in the README's settings table.
"""

import contextlib
import ipaddress
import secrets
from datetime import datetime, time
from pathlib import Path
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()
ROOT = Path(__file__).resolve().parent.parent


def text(name: str, default: str = "") -> str:
    return env.str(name, default=default).strip()


def number(name: str, default: float, low: float, high: float) -> float:
    """Read a number from the environment.

    Raises: ImproperlyConfigured, naming the variable and its bounds.
    """
    raw = text(name)
    try:
        value = float(raw) if raw else default
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name}={raw!r} must be a number from {low:g} to {high:g}.")
    return value


def integer(name: str, default: int, low: int, high: int) -> int:
    value = number(name, default, low, high)
    if value != int(value):
        raise ImproperlyConfigured(f"{name}={text(name)!r} must be a whole number.")
    return int(value)


def clock(name: str, default: str) -> time:
    """Read a time of day.

    Raises: ImproperlyConfigured.
    """
    raw = text(name, default)
    try:
        return datetime.strptime(raw, "%H:%M").time()
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} must be a time such as 22:00.") from None


def flag(name: str, default: bool) -> bool:
    raw = text(name).lower()
    if raw in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return raw in ("1", "true", "yes", "on") if raw else default
    raise ImproperlyConfigured(f"{name}={raw!r} must be 1 or 0.")


def items(name: str) -> list[str]:
    return [item.strip() for item in text(name).split(",") if item.strip()]


def pairs(name: str) -> dict[str, str]:
    """Read name=value pairs, separated by commas.

    Raises: ImproperlyConfigured for one that lacks a side, or a name that comes twice.
    """
    found: dict[str, str] = {}
    for item in items(name):
        key, _, value = (part.strip() for part in item.partition("="))
        if not key or not value or key in found:
            raise ImproperlyConfigured(f"{name}: {item!r} must be name=base, each name once.")
        found[key] = value
    return found


def address(name: str) -> str:
    """Read the address of a server, without a slash at its end; empty where none is given."""
    raw = text(name).rstrip("/")
    if raw and (urlsplit(raw).scheme not in ("http", "https") or not urlsplit(raw).hostname):
        raise ImproperlyConfigured(
            f"{name}={raw!r} must be an address such as https://hub.example."
        )
    return raw


def addresses(name: str) -> list[str]:
    """Read the addresses of servers, without a slash or /v1 at their ends. A bad one is not repeated
    where it may hold a password.

    Raises: ImproperlyConfigured.
    """
    found = [item.rstrip("/").removesuffix("/v1") for item in items(name)]
    for one in found:
        parts = urlsplit(one)
        if "@" in one:
            raise ImproperlyConfigured(f"{name} must be addresses without a name or password.")
        is_whole = parts.scheme in ("http", "https") and parts.hostname
        if not is_whole or parts.query or parts.fragment or found.count(one) > 1:
            raise ImproperlyConfigured(
                f"{name}: {one!r} must be an address such as http://127.0.0.1:8001, each once."
            )
    return found


def networks(name: str) -> list[str]:
    """Read a list of hosts or networks that a URL may point to although they are private."""
    for item in items(name):
        host, _, port = item.partition(":") if item.count(":") == 1 else (item, "", "")
        if port and not port.isdigit():
            raise ImproperlyConfigured(
                f"{name}: {item!r} must be address, network or address:port."
            )
        try:
            ipaddress.ip_network(host, strict=False)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name}: {item!r} is no IP address or network (e.g. 10.1.2.3 or 10.0.0.0/8)."
            ) from None
    return items(name)


def proxies(name: str, default: list[str]) -> list[str]:
    """Read the addresses or networks whose X-Forwarded-* headers are believed."""
    try:
        found = [ipaddress.ip_network(item, strict=False) for item in items(name) or default]
    except ValueError:
        raise ImproperlyConfigured(
            f"{name}={text(name)!r} must be IP addresses or networks (e.g. 127.0.0.1,10.0.0.0/8)."
        ) from None
    return [str(one) if one.num_addresses > 1 else str(one.network_address) for one in found]


def host_names(name: str) -> list[str]:
    """Read host names. "*" would let any site speak for this one."""
    found = items(name)
    if "*" in found or any("/" in host for host in found):
        raise ImproperlyConfigured(
            f"{name}={text(name)!r} must be host names (e.g. studio.example.org), without * and https://."
        )
    return found


def folder(name: str, default: Path) -> Path:
    path = Path(text(name) or default).expanduser().resolve()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".write-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}={path} must be a folder that can be written: {error.strerror}."
        ) from None
    return path


# --- places -----------------------------------------------------------------------------------
DATA = folder("DADEUM_DATA", ROOT / "data")
MODELS = Path(text("DADEUM_MODELS") or DATA / "models").expanduser().resolve()
BUILTIN_MODEL = DATA / "builtin" / "smollm2-135m-instruct"


SECRET_KEY_LETTERS = 50
TOKEN_LETTERS = 16


def secret_key() -> str:
    """Return the configured key, or one kept in the data folder (made on the first start)."""
    if key := text("DADEUM_SECRET_KEY"):
        if len(key) < SECRET_KEY_LETTERS:
            raise ImproperlyConfigured(
                f"DADEUM_SECRET_KEY must have {SECRET_KEY_LETTERS} letters or more."
            )
        return key
    path = DATA / "secret_key"
    if not path.exists():
        fresh = DATA / f".secret-{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(64))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text()


def token(name: str, letters: int = TOKEN_LETTERS) -> str:
    """Read a secret that programs show each other; empty where none is given."""
    found = text(name)
    if found and (len(found) < letters or not found.isascii() or " " in found):
        raise ImproperlyConfigured(
            f"{name} must have {letters} letters, digits and signs or more, without blanks."
        )
    return found


# --- web --------------------------------------------------------------------------------------
HOST = text("DADEUM_HOST", "127.0.0.1")
PORT = integer("DADEUM_PORT", 8000, 1, 65535)
DEBUG = flag("DADEUM_DEBUG", False)
SECRET_KEY = secret_key()
PUBLIC_HOSTS = host_names("DADEUM_ALLOWED_HOSTS")
ALLOWED_HOSTS = [*PUBLIC_HOSTS, "127.0.0.1", "localhost", "[::1]"]
if HOST not in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::") and HOST not in ALLOWED_HOSTS:
    ALLOWED_HOSTS.append(HOST)

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "channels",
    "studio",
    "training",
    "playground",
]
MIDDLEWARE = [
    "studio.middleware.Traced",
    "studio.metrics.Measured",
    "studio.middleware.Headers",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "studio.middleware.JsonErrors",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "studio.languages.PageLanguage",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "studio.middleware.KeyAuthentication",
    "studio.middleware.SetUpFirst",
    "studio.middleware.SignInRequired",
    "studio.middleware.PlainErrors",
]
ROOT_URLCONF = "studio.urls"
ASGI_APPLICATION = "studio.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "studio.views.frame.frame",
            ],
            "builtins": ["studio.templatetags.studio"],
        },
    }
]

# --- database ---------------------------------------------------------------------------------
SQLITE_OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    " PRAGMA foreign_keys=ON; PRAGMA busy_timeout=20000;",
}


def database() -> dict:
    raw = text("DADEUM_DATABASE_URL") or f"sqlite:///{DATA / 'dadeum.sqlite3'}"
    if urlsplit(raw).scheme not in ("sqlite", "postgres", "postgresql"):
        raise ImproperlyConfigured(
            "DADEUM_DATABASE_URL must begin with postgresql:// or sqlite:///."
        )
    settings = env.db_url_config(raw)
    if settings["ENGINE"].endswith("sqlite3"):
        settings["OPTIONS"] = SQLITE_OPTIONS
    return settings


DATABASES = {"default": database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "studio.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# --- security ---------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = False
CSRF_FAILURE_VIEW = "studio.views.frame.stale"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise itself."""

# Behind a proxy that speaks TLS. The scheme comes from uvicorn, which believes X-Forwarded-Proto
# only of PROXY (supervisor.py); so Django needs no SECURE_PROXY_SSL_HEADER.
HTTPS = flag("DADEUM_HTTPS", False)
PROXY = proxies("DADEUM_PROXY", ["127.0.0.1", "::1"] if HTTPS else [])
if HTTPS and not PUBLIC_HOSTS:
    raise ImproperlyConfigured(
        "DADEUM_HTTPS=1 needs DADEUM_ALLOWED_HOSTS, the host name under which people reach it."
    )
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
SECURE_HSTS_SECONDS = integer("DADEUM_HSTS_SECONDS", 2_592_000, 0, 63_072_000) if HTTPS else 0
CSRF_TRUSTED_ORIGINS = (
    [f"https://*{host}" if host.startswith(".") else f"https://{host}" for host in PUBLIC_HOSTS]
    if HTTPS
    else []
)
# Whether other names under ours speak https too is not ours to promise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
METRICS_TOKEN = token("DADEUM_METRICS_TOKEN")
"""What Prometheus must bring to /metrics; empty: there is no such page."""
UPLOAD_LIMIT_BYTES = integer("DADEUM_UPLOAD_LIMIT_MB", 2048, 1, 1_000_000) * 1024 * 1024
DATA_QUOTA_BYTES = int(number("DADEUM_DATA_QUOTA_GB", 0, 0, 1_000_000) * 1024**3)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
FILE_UPLOAD_TEMP_DIR = DATA / "incoming"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)

# --- language and time ------------------------------------------------------------------------
LANGUAGE_CODE = "ko"
LANGUAGES = [("ko", "한국어"), ("en", "English")]
LANGUAGE_COOKIE_NAME = "language"
LOCALE_PATHS = [ROOT / "locale"]
USE_I18N = True
TIME_ZONE = text("DADEUM_TIME_ZONE", "Asia/Seoul")
USE_TZ = True

# --- static files -----------------------------------------------------------------------------
STATIC_URL = "static/"
STATICFILES_DIRS = [ROOT / "static", ("docs", ROOT / "docs" / "images")]
STATIC_ROOT = ROOT / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
if DEBUG:
    STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    WHITENOISE_USE_FINDERS = True
    WHITENOISE_AUTOREFRESH = True  # also in tests, where Django turns DEBUG off

# --- queue ------------------------------------------------------------------------------------
LEASE_SECONDS = number("DADEUM_LEASE_SECONDS", 60, 1, 3600)
BEAT_SECONDS = number("DADEUM_BEAT_SECONDS", min(0.5, LEASE_SECONDS / 6), 0.05, 600)
if BEAT_SECONDS * 3 > LEASE_SECONDS:
    raise ImproperlyConfigured(
        "DADEUM_BEAT_SECONDS must be a third of DADEUM_LEASE_SECONDS or less."
    )
BROKER_URL = text("DADEUM_BROKER_URL", "embedded://localhost")
if BROKER_URL.split(":")[0] not in ("embedded", "redis", "rediss", "amqp", "amqps"):
    raise ImproperlyConfigured(
        "DADEUM_BROKER_URL must begin with redis:// or amqp:// (or be left out)."
    )
BROKER_FOLDER = DATA / "broker"

# --- the product's own bounds -----------------------------------------------------------------
MIN_EXAMPLES = integer("DADEUM_MIN_EXAMPLES", 200, 1, 1_000_000)
QUEUE_LIMIT = integer("DADEUM_QUEUE_LIMIT", 10, 0, 10_000)
NIGHT = clock("DADEUM_NIGHT", "22:00")
PERSONAL_DATA = text("DADEUM_PERSONAL_DATA", "warn")
if PERSONAL_DATA not in ("warn", "block"):
    raise ImproperlyConfigured("DADEUM_PERSONAL_DATA must be warn or block.")
MODEL_ALIASES = pairs("DADEUM_MODEL_ALIASES")
FETCH_ALLOW = networks("DADEUM_FETCH_ALLOW")
FETCH_SECONDS = integer("DADEUM_FETCH_SECONDS", 600, 1, 86_400)
MODEL_LIMIT_BYTES = integer("DADEUM_MODEL_LIMIT_GB", 100, 1, 10_000) * 1024**3
ENGINE_SOCKET = text("DADEUM_ENGINE_SOCKET")
ENGINE_MEMORY_MB = int(number("DADEUM_ENGINE_MEMORY_MB", 0, 0, 10_000_000))
ENGINE_PRECISION = text("DADEUM_ENGINE_PRECISION", "exact")
if ENGINE_PRECISION not in ("exact", "fast"):
    raise ImproperlyConfigured("DADEUM_ENGINE_PRECISION must be exact or fast.")
ENGINES = addresses("DADEUM_ENGINES")
"""Servers of vLLM that answer for the bases that they serve (playground/vllm.py)."""
ENGINE_KEY = token("DADEUM_ENGINE_KEY", 1)
"""What they want to be shown; empty: nothing."""
COMPILED = folder("NUMBA_CACHE_DIR", DATA / "compiled")
"""Where loops are kept that were compiled for this machine (training/lm/fast/kernels.py)."""
THREADS = integer("DADEUM_THREADS", 0, 0, 1024)
PROCESSES = integer("DADEUM_PROCESSES", 1, 1, 64)
CHECKPOINT_SECONDS = number("DADEUM_CHECKPOINT_SECONDS", 60, 0, 86_400)

# --- the hub from which base models are fetched -------------------------------------------------
HUB = flag("DADEUM_HUB", True)
HUB_URL = address("DADEUM_HUB_URL")
"""Empty: where the hub's own library looks."""
HF_TOKEN = text("HF_TOKEN")
"""Handed to the child that fetches models, and to nothing else."""
HUB_NETWORK = {
    name: text(name)
    for word in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE")
    for name in (word, word.lower())
    if text(name)
}
"""How that child gets out of a network with a proxy or certificates of its own."""

LOG_FORMAT = text("DADEUM_LOG_FORMAT", "text")
if LOG_FORMAT not in ("text", "json"):
    raise ImproperlyConfigured("DADEUM_LOG_FORMAT must be text or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "training.logs.formatter", "kind": LOG_FORMAT}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        # without handlers of their own their lines look as ours do
        "uvicorn": {"handlers": [], "propagate": True},
        "uvicorn.access": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO"},
    },
}
