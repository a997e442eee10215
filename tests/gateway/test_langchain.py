"""LangChain's standard suites for its chats and embeddings, with us between its OpenAI package and the demo."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import httpx
import pytest
import requests
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests

from shared_accounts.extensions import db
from shared_accounts.local.servers import free_port
from tests import factories
from tests.conftest import ROOT
from tests.gateway.scene import wait_until

# Its warnings are between LangChain and pydantic.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::UserWarning")]
PICTURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module")
def demo():
    """The demo upstream, without its pauses."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    command = [sys.executable, "-m", "shared_accounts.local.demo", str(port), "--gap", "0"]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            wait_until(lambda: answers(url), "the demo does not answer", 60)
            yield url
        finally:
            process.terminate()


def answers(url):
    try:
        return requests.get(f"{url}/models", headers={"Authorization": "Bearer demo"}, timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def key(books, demo):
    """The key of somebody with a demo of her own."""
    with books.app_context():
        user = factories.user()
        factories.account(user, base_url=demo, secret="demo", models=["demo"], sharing="dedicated")
        _, made = factories.api_key(user)
        db.session.remove()
    return made


@pytest.fixture
def door(server, key):
    """What she gives to LangChain, with clients of HTTP that leave nothing open."""
    with httpx.Client() as client:
        closing = httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0))
        clients = {"http_client": client, "http_async_client": closing}
        yield {"model": "demo", "base_url": f"{server.url}/v1", "api_key": key, **clients}


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
    chat_model_class = ChatOpenAI

    @pytest.fixture(autouse=True)
    def prepare(self, door, monkeypatch):
        self.door = door
        monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=PICTURE))

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
    embeddings_class = OpenAIEmbeddings

    @pytest.fixture(autouse=True)
    def prepare(self, door):
        self.door = door

    @property
    def embedding_model_params(self):
        # Counting tokens would fetch a table of them from the internet.
        return {**self.door, "check_embedding_ctx_length": False}
