"""What clients of other dialects send and get, as the gateway's description has it."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from shared_accounts.gateway.page_fields import either, model_name, most_tokens, some, switch, turns
from shared_accounts.gateway.page_schemas import Open


class ResponsesRequest(Open):
    """A turn, as OpenAI's Responses API has it; nothing is stored."""

    model = model_name()
    input = either({"type": "string"}, some({"type": "object"}), says="A text, or a list of items")
    instructions = fields.String(allow_none=True)
    max_output_tokens = most_tokens()
    stream = switch()


class MessagesRequest(Open):
    """A turn, as Anthropic's Messages API has it."""

    model = model_name()
    messages = turns()
    max_tokens = fields.Integer(
        required=True,
        validate=validate.Range(1, 10_000_000),
        metadata={"description": "Bounds what is reserved from your quota"},
    )
    system = fields.Raw(
        metadata={
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
            "description": "A text, or a list of text blocks",
        }
    )
    stream = switch()


class CountRequest(Open):
    """A turn whose prompt is to be counted, as Anthropic's Messages API has it."""

    model = fields.String(required=True)
    messages = turns()


class GenerateRequest(Open):
    """A turn, as Gemini's own API has it."""

    contents = turns()
    generationConfig = fields.Dict(allow_none=True)  # noqa: N815 - Google's name
    systemInstruction = fields.Raw()  # noqa: N815


class TokenCount(Schema):
    """What a prompt will probably take."""

    input_tokens = fields.Integer()


class GeminiModel(Schema):
    """A model that can be asked in Gemini's own words."""

    name = fields.String(metadata={"description": "`models/` and the model"})
    displayName = fields.String()  # noqa: N815
    supportedGenerationMethods = fields.List(fields.String())  # noqa: N815


class GeminiModelList(Schema):
    """The models the caller can ask for in Gemini's own words."""

    models = fields.List(fields.Nested(GeminiModel))


class MessagesErrorObject(Open):
    """What went wrong, in Anthropic's words."""

    type = fields.String()
    message = fields.String()


class MessagesRefusal(Open):
    """What every refusal under `/v1/messages` looks like."""

    type = fields.Constant("error", metadata={"type": "string"})
    error = fields.Nested(MessagesErrorObject)
    request_id = fields.String()


class GoogleErrorObject(Open):
    """What went wrong, in Google's words."""

    code = fields.Integer(metadata={"description": "The HTTP status"})
    message = fields.String()
    status = fields.String(metadata={"description": "Google's canonical code"})
    details = fields.List(fields.Dict())


class GoogleRefusal(Schema):
    """What every refusal under `/v1beta` looks like."""

    error = fields.Nested(GoogleErrorObject)
