"""The gateways we are compared with: installed in folders of their own, started as their makers say.

Each function here starts one of them, or says on the terminal why it can't be had and returns None.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from bench.peers import install
from bench.rig import Gateway, Rig
from shared_accounts.local.servers import free_port

_HERE = Path(__file__).parent


def nginx(rig: Rig) -> Gateway | None:
    """Start a plain reverse proxy: the floor."""
    if not install.nginx():
        return None
    port = free_port()
    conf = (_HERE / "nginx.conf").read_text()
    (rig.folder / "nginx.conf").write_text(
        conf.replace("MOCK_PORT", str(rig.mock_port)).replace("NGINX_PORT", str(port))
    )
    program = shutil.which("nginx", path=install.PATH)
    return rig.gateway("nginx", port, [program, "-p", rig.folder, "-c", "nginx.conf"], health="/v1/models")


def bare(rig: Rig) -> Gateway:
    """Start a Flask route that answers a constant: what the framework alone costs."""
    port = free_port()
    command = [install.PYTHON, "-m", "gunicorn", "-k", "gevent", "--http-parser", "fast", "--no-control-socket"]
    return rig.gateway("bare Flask", port, [*command, "-b", f"127.0.0.1:{port}", "bench.bare:app"], health="/livez")


def portkey(rig: Rig) -> Gateway | None:
    """Start Portkey's gateway, which keeps no state: no keys, no quota, no log."""
    server = install.portkey()
    if server is None:
        return None
    port = free_port()
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {rig.upstream}", "Authorization: Bearer sk-up")
    command = ["node", server, f"--port={port}", "--headless"]
    return rig.gateway("Portkey", port, [*command], health="/", headers=headers, env=_production(), cwd=rig.folder)


def litellm(rig: Rig) -> Gateway | None:
    """Start LiteLLM's proxy without a database: with neither keys of its own nor a row per request."""
    program = install.litellm()
    if program is None:
        return None
    port = free_port()
    config = rig.folder / "litellm.yaml"
    config.write_text((_HERE / "litellm.yaml").read_text().replace("UPSTREAM", rig.upstream))
    options = ["--config", config, "--host", "127.0.0.1", "--port", port, "--num_workers", "1"]
    return rig.gateway(
        "LiteLLM",
        port,
        [program, *options, "--telemetry", "False"],
        health="/health/liveliness",
        headers=("Authorization: Bearer sk-bench",),
        env={
            **_production(),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
        },
        cwd=rig.folder,
    )


def _production() -> dict[str, str]:
    return {**os.environ, "NODE_ENV": "production"}


INSTALL = {"nginx": install.nginx, "portkey": install.portkey, "litellm": install.litellm}
START: dict[str, Callable[[Rig], Gateway | None]] = {
    "nginx": nginx,
    "bare": bare,
    "portkey": portkey,
    "litellm": litellm,
}
