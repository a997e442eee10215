"""What to type into each tool: ready to paste, with the address, the key and a model filled in.

The words around the settings are each tool's own, so they are not translated.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, request

from shared_accounts.accounts import catalogue
from shared_accounts.users import roster
from shared_accounts.users.roster import Caller


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and its settings; `%BASE%`, `%ROOT%`, `%KEY%` and `%MODEL%` stand for what belongs there."""

    name: str
    settings: str


TOOLS = (
    Tool(
        "curl",
        """curl %BASE%/chat/completions \\
  -H "Authorization: Bearer %KEY%" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "%MODEL%",
       "messages": [{"role": "user", "content": "Hello"}]}'""",
    ),
    Tool(
        "Python",
        """from openai import OpenAI

client = OpenAI(base_url="%BASE%",
                api_key="%KEY%")
answer = client.chat.completions.create(
    model="%MODEL%",
    messages=[{"role": "user", "content": "Hello"}])
print(answer.choices[0].message.content)""",
    ),
    Tool(
        "Node",
        """import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "%BASE%",
  apiKey: "%KEY%",
});
const answer = await client.chat.completions.create({
  model: "%MODEL%",
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);""",
    ),
    Tool(
        "Open WebUI",
        "Admin Panel \u2192 Settings \u2192 Connections \u2192 OpenAI API \u2192 +\n\nURL   %BASE%\nKey   %KEY%",
    ),
    Tool(
        "LobeChat",
        "Settings \u2192 AI Service Provider \u2192 OpenAI\n\n"
        "API Key         %KEY%\nAPI Proxy URL   %BASE%\nModel list      %MODEL%",
    ),
    Tool(
        "Cherry Studio",
        "Settings \u2192 Model Provider \u2192 Add \u2192 OpenAI\n\n"
        "API Key    %KEY%\nAPI Host   %ROOT%\nModel ID   %MODEL%",
    ),
    Tool(
        "Cline", "API Provider   OpenAI Compatible\nBase URL       %BASE%\nAPI Key        %KEY%\nModel ID       %MODEL%"
    ),
    Tool(
        "Continue",
        """# ~/.continue/config.yaml
name: shared accounts
version: 0.0.1
schema: v1
models:
  - name: %MODEL%
    provider: openai
    model: %MODEL%
    apiBase: %BASE%
    apiKey: %KEY%""",
    ),
    Tool(
        "aider",
        "export OPENAI_API_BASE=%BASE%\nexport OPENAI_API_KEY=%KEY%\n\naider --model openai/%MODEL%",
    ),
    Tool(
        "Codex CLI",
        """# ~/.codex/config.toml
model = "%MODEL%"
model_provider = "shared"

[model_providers.shared]
name = "shared accounts"
base_url = "%BASE%"
wire_api = "responses"
env_key = "SHARED_ACCOUNTS_KEY"

# in the shell
export SHARED_ACCOUNTS_KEY=%KEY%""",
    ),
    Tool(
        "Claude Code",
        "export ANTHROPIC_BASE_URL=%ROOT%\nexport ANTHROPIC_AUTH_TOKEN=%KEY%\nexport ANTHROPIC_MODEL=%MODEL%\n\nclaude",
    ),
)
_PLACE = "sk-YOUR-KEY"
_NO_MODEL = "MODEL"


def filled(secret: str | None) -> list[tuple[str, str]]:
    """Return each tool's settings for a key; without one its place is marked."""
    root = request.host_url.rstrip("/")
    places = {"%BASE%": f"{root}/v1", "%ROOT%": root, "%KEY%": secret or _PLACE, "%MODEL%": _model()}
    return [(tool.name, _put(tool.settings, places)) for tool in TOOLS]


def base_url() -> str:
    """Return the address that tools ask for."""
    return f"{request.host_url.rstrip('/')}/v1"


def _model() -> str:
    """Return a model that the reader can use now."""
    user = roster.get(g.person.id)
    caller = Caller(user.id, user.state, user.prefer_shared, user.use_only_dedicated, None, None, None)
    models = catalogue.models_for(caller)
    return models[0].name if models else _NO_MODEL


def _put(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text
