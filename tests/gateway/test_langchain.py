"""LangChain's standard suites for its chats and embeddings, with us between its OpenAI package and the demo."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from tests.later import Later

langchain_openai = Later("langchain_openai")
# Its warnings are between LangChain and pydantic.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::UserWarning")]
PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture
def door(server, demo_key):
    """What she gives to LangChain, with clients of HTTP that leave nothing open."""
    with httpx.Client() as client:
        closing = httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))
        clients = {"http_client": client, "http_async_client": closing}
        yield {"model": "demo", "base_url": f"{server.url}/v1", "api_key": demo_key, **clients}


class TestChats(ChatModelIntegrationTests):
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_anthropic_inputs = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_audio_inputs = True
    enable_vcr_tests = True
    supports_model_override = True
    model_override_value = "demo"

    @pytest.fixture(autouse=True)
    def prepare(self, door, monkeypatch):
        self.door = door
        monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=PICTURE))

    @property
    def chat_model_class(self):
        return langchain_openai.ChatOpenAI

    @property
    def chat_model_params(self):
        return {**self.door, "stream_usage": True, "max_retries": 0}

    @pytest.fixture
    def vcr(self):
        """No recording: what only records is made for real."""
        return SimpleNamespace(responses=())

    @pytest.fixture
    def benchmark(self):
        """Nothing is measured."""


class TestEmbeddings(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def prepare(self, door):
        self.door = door

    @property
    def embeddings_class(self):
        return langchain_openai.OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        # Counting tokens would fetch a table of them from the internet.
        return {**self.door, "check_embedding_ctx_length": False}
