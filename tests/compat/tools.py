"""Each tool, as its users run it, and what it must have got from the demo in the end."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

_LONGEST = 180
_COMMAND = "echo canary-$((40+2))"
_RESULT = "canary-42"
_CODEX = """\
model = "demo"
model_provider = "ours"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.ours]
name = "shared_accounts"
base_url = "{base_url}"
env_key = "COMPAT_KEY"
wire_api = "responses"
"""


@dataclass(frozen=True)
class Gateway:
    """Where the gateway is, what opens it, and the folder that the tools are installed in."""

    base_url: str
    key: str
    folder: Path

    def run(self, command: Sequence[str], *, home: str = "", **environment: str) -> str:
        """Run an installed program in an empty folder and return what it said; raises when it fails."""
        path = f"{self.folder / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
        own = self.folder / (home or "home")
        own.mkdir(exist_ok=True)
        told = {"COMPAT_BASE_URL": self.base_url, "COMPAT_KEY": self.key, "HOME": str(own), "PATH": path, **environment}
        with tempfile.TemporaryDirectory() as empty:
            done = subprocess.run(  # noqa: PLW1510 - what it said is shown in any case
                command, cwd=empty, env=told, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LONGEST
            )
        print(done.stdout + done.stderr, flush=True)
        done.check_returncode()
        return done.stdout


def node(script: str, gateway: Gateway) -> None:
    """Run a file of Node's own tests."""
    gateway.run(["node", "--test", "--test-reporter=spec", str(gateway.folder / script)])


def compatcanary(gateway: Gateway) -> None:
    """Have CompatCanary scan us; it ends badly when something required is missing."""
    scan = ["compatcanary", "scan", "--base-url", gateway.base_url, "--model", "demo", "--profile", "modern"]
    said = gateway.run(scan, OPENAI_API_KEY=gateway.key)
    assert "0 failed" in said, "a probe failed"


def codex(gateway: Gateway) -> None:
    """One turn of Codex: it is told to run a command, runs it, and tells the model what came of it."""
    home = gateway.folder / "codex"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(_CODEX.format(base_url=gateway.base_url))
    asked = f"Use exec_command with `{_COMMAND}`"
    said = gateway.run(["codex", "exec", "--skip-git-repo-check", "--json", asked], CODEX_HOME=str(home))
    items = [json.loads(line).get("item", {}) for line in said.splitlines() if line.startswith("{")]
    assert any(_RESULT in item.get("aggregated_output", "") for item in items), "the command was not run"
    assert any(_RESULT in item.get("text", "") for item in items), "the model was not told what came of it"


def claude(gateway: Gateway) -> None:
    """The same with Claude Code."""
    asked = ["claude", "-p", f"Use Bash with `{_COMMAND}`", "--allowedTools", "Bash", "--output-format", "json"]
    said = gateway.run(
        asked,
        home="claude",
        ANTHROPIC_BASE_URL=gateway.base_url.removesuffix("/v1"),
        ANTHROPIC_AUTH_TOKEN=gateway.key,
        ANTHROPIC_MODEL="demo",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )
    result = json.loads(said)
    assert not result["is_error"], "it ended with an error"
    assert _RESULT in result["result"], "the model was not told what came of the command"


TOOLS: dict[str, Callable[[Gateway], None]] = {
    "openai": partial(node, "openai.test.mjs"),
    "ai-sdk": partial(node, "ai-sdk.test.mjs"),
    "anthropic": partial(node, "anthropic.test.mjs"),
    "compatcanary": compatcanary,
    "codex": codex,
    "claude": claude,
}
