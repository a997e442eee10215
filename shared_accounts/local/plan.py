"""What this start will do: the data folder, every setting the processes get, and the ports.

The operator's word goes first: the environment, then `.env`, then what this installation made up for itself.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet
from dotenv import dotenv_values

from shared_accounts.local import home
from shared_accounts.local.home import LocalError

REPOSITORY = Path(__file__).resolve().parents[2]
PORTS = ("PORT", "DEMO_PORT", "POSTGRES_PORT", "REDIS_PORT")
DEFAULTS = {
    "APP_ENV": "development",
    "HOST": "127.0.0.1",
    "PORT": "8008",
    # The demo, and whatever else serves models on this machine.
    "UPSTREAM_ALLOWED_HOSTS": "127.0.0.1,localhost",
    "GRACEFUL_TIMEOUT": "30",
    # The logs are followed while they are written.
    "PYTHONUNBUFFERED": "1",
}
_SECRETS = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "PLUGIN_API_ENCRYPTION_KEY": lambda: Fernet.generate_key().decode(),
    "ADMIN_USERNAME": lambda: "admin",
    "ADMIN_PASSWORD": lambda: secrets.token_urlsafe(12),
}


@dataclass(frozen=True)
class Plan:
    """Settled before anything is started."""

    home: Path
    settings: Mapping[str, str]
    ports: Mapping[str, int]
    graceful_timeout: int
    password_is_ours: bool

    @property
    def url(self) -> str:
        """Where the service is reached from this machine."""
        host = self.settings["HOST"]
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{self.ports['PORT']}"  # noqa: S104 - a comparison

    @property
    def demo_url(self) -> str:
        """The demo upstream's `base_url`."""
        return f"http://127.0.0.1:{self.ports['DEMO_PORT']}/v1"

    def require_free_ports(self) -> None:
        """Refuse to start while somebody else has one of the ports, naming it and the setting that changes it."""
        external = {"POSTGRES_PORT": "DATABASE_URL", "REDIS_PORT": "REDIS_URL"}
        seen: dict[int, str] = {}
        for name, port in self.ports.items():
            if self.settings.get(external.get(name, "")):
                continue
            if port in seen:
                raise LocalError(f"{seen[port]} and {name} are both {port}; set one of them to another port.")
            seen[port] = name
            _require_free(self.settings["HOST"] if name == "PORT" else "127.0.0.1", port, name)


def draw_up() -> Plan:
    """Read the settings and claim the data folder for this process; on the first start, make up the secrets."""
    chosen = {**_given(dotenv_values(REPOSITORY / ".env")), **_given(os.environ)}
    folder = home.prepare(Path(chosen.get("SHARED_ACCOUNTS_HOME") or REPOSITORY / ".local"))
    home.lock(folder)
    (folder / "ready.json").unlink(missing_ok=True)
    made = {name: home.secret(folder, name, make) for name, make in _SECRETS.items()}
    settings = {**DEFAULTS, **made, **chosen}
    first = _number(settings, "PORT", "a port")
    ports = {name: read_port({name: str(first + offset), **settings}, name) for offset, name in enumerate(PORTS)}
    graceful_timeout = _number(settings, "GRACEFUL_TIMEOUT", "a number of seconds")
    # Whoever signs in elsewhere has to come back to this port.
    settings = {"PUBLIC_URL": f"http://localhost:{first}", **settings}
    return Plan(folder, settings, ports, graceful_timeout, password_is_ours="ADMIN_PASSWORD" not in chosen)


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    """Drop settings left blank: as in config.py, they are not set."""
    return {name: value for name, value in values.items() if value and value.strip()}


def read_port(settings: Mapping[str, str], name: str) -> int:
    """Return a port from the settings; refuses what is none, naming the setting."""
    port = _number(settings, name, "a port")
    if not 0 < port < 2**16:
        raise LocalError(f"{name} would be {port}; it must be a port between 1 and 65535.")
    return port


def _number(settings: Mapping[str, str], name: str, what: str) -> int:
    try:
        return int(settings[name])
    except ValueError:
        raise LocalError(f"{name} must be {what}.") from None


def _require_free(host: str, port: int, name: str) -> None:
    with socket.socket() as probe:
        # As the servers do; otherwise connections just closed would look like a taken port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LocalError(
                f"Port {port} on {host} cannot be had ({error.strerror}). Stop what uses it, or set {name} to another"
                f" port, for example: {name}={port + 100} ./run.sh"
            ) from error
