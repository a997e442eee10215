"""The upstreams people bring most often: where each answers, where one gets a key, and where it says who may use it.

A preset fills in what a contributor leaves out; whatever she sends goes before it. All of them answer OpenAI's chat.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

PLACEHOLDER = "none"
"""Stored for an upstream that asks for no key; short, so that it counts once per host and not once in the world."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an upstream wants to be asked for its models, and what it speaks beside OpenAI's chat."""

    list_path: str = "/models"
    key_path: str | None = None
    by_x_api_key: bool = False
    also_speaks: str | None = None
    """`responses`, `messages` or `generate`: what else it takes as its clients say it."""

    def headers(self, credential: str) -> dict[str, str]:
        """Return what shows the credential."""
        if self.by_x_api_key:
            return {"x-api-key": credential, "anthropic-version": "2023-06-01"}
        return {"authorization": f"Bearer {credential}"}


@dataclass(frozen=True, slots=True)
class Preset:
    """An upstream as a contributor picks it; without a base URL she names it herself."""

    id: str
    name: str
    base_url: str | None
    key_hint: str
    key_page: str | None = None
    terms_page: str | None = None
    needs_key: bool = True


ALL = (
    Preset(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        "begins with sk-",
        "https://platform.openai.com/api-keys",
        "https://openai.com/policies/services-agreement/",
    ),
    Preset(
        "gemini",
        "Google Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "begins with AIza",
        "https://aistudio.google.com/apikey",
        "https://ai.google.dev/gemini-api/terms",
    ),
    Preset(
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com/v1",
        "begins with sk-ant-api",
        "https://platform.claude.com/settings/keys",
        "https://www.anthropic.com/legal/commercial-terms",
    ),
    Preset(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com/v1",
        "begins with sk-",
        "https://platform.deepseek.com/api_keys",
        "https://cdn.deepseek.com/policies/en-US/deepseek-open-platform-terms-of-service.html",
    ),
    Preset(
        "qwen",
        "Qwen (Alibaba Cloud Model Studio)",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        "begins with sk-; keys made outside China belong to dashscope-intl.aliyuncs.com",
        "https://bailian.console.aliyun.com/?tab=model#/api-key",
        "https://terms.aliyun.com/",
    ),
    Preset(
        "moonshot",
        "Moonshot (Kimi)",
        "https://api.moonshot.cn/v1",
        "begins with sk-; keys made outside China belong to api.moonshot.ai",
        "https://platform.moonshot.cn/console/api-keys",
        "https://platform.moonshot.cn/docs/agreement/modeluse",
    ),
    Preset(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        "32 letters and digits",
        "https://console.mistral.ai/api-keys",
        "https://mistral.ai/terms",
    ),
    Preset(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        "begins with gsk_",
        "https://console.groq.com/keys",
        "https://console.groq.com/docs/legal/services-agreement",
    ),
    Preset(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        "begins with sk-or-v1-",
        "https://openrouter.ai/settings/keys",
        "https://openrouter.ai/terms",
    ),
    Preset(
        "ollama",
        "Ollama",
        "http://localhost:11434/v1",
        "needs no key; the operator must allow its host (UPSTREAM_ALLOWED_HOSTS)",
        terms_page="https://ollama.com/terms",
        needs_key=False,
    ),
    Preset(
        "vllm",
        "vLLM",
        "http://localhost:8000/v1",
        "needs one only if it was started with --api-key; the operator must allow its host (UPSTREAM_ALLOWED_HOSTS)",
        needs_key=False,
    ),
    Preset("custom", "Any other OpenAI-compatible API", None, "whatever its operator gave you"),
)
BY_ID = {preset.id: preset for preset in ALL}
BEARER = Dialect()
PLUGIN = "plugin"
"""A user's own key at the Plug-in API: not for contributors to pick, it comes with her user there."""

_BY_HOST = {urlsplit(preset.base_url).hostname: preset.id for preset in ALL if preset.base_url and preset.needs_key}
_DIALECTS = {
    "openai": Dialect(also_speaks="responses"),
    "gemini": Dialect(also_speaks="generate"),
    "anthropic": Dialect("/models?limit=1000", by_x_api_key=True, also_speaks="messages"),  # a page has 20 unless told
    "openrouter": Dialect(key_path="/key"),  # it lists its models to everybody, so the list proves no key
}


def dialect(host: str, preset_id: str | None) -> Dialect:
    """Return how to ask: the host knows better than what a contributor picked, which decides for other hosts."""
    return _DIALECTS.get(_BY_HOST.get(host.lower(), preset_id) or "", BEARER)


def defaults(preset_id: object) -> dict[str, str]:
    """Return what a preset fills in: its base URL if it has one, a placeholder if no key is needed."""
    preset = BY_ID.get(preset_id) if isinstance(preset_id, str) else None
    if preset is None:
        return {}
    filled = {} if preset.base_url is None else {"base_url": preset.base_url}
    return filled if preset.needs_key else {**filled, "api_key": PLACEHOLDER}
