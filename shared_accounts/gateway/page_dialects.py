"""What clients of other dialects send and get, as the gateway's description has it."""

from __future__ import annotations

from marshmallow import Schema, fields

from shared_accounts.gateway.page_schemas import InputRequest, Open


class ResponsesRequest(InputRequest):
    """A turn, as OpenAI's Responses API has it; nothing is stored."""

    instructions = fields.String()
    max_output_tokens = fields.Integer(metadata={"description": "Bounds what is reserved from your quota"})
    stream = fields.Boolean()


class MessagesRequest(Open):
    """A turn, as Anthropic's Messages API has it."""

    model = fields.String(required=True)
    messages = fields.List(fields.Dict(), required=True)
    max_tokens = fields.Integer(metadata={"description": "Bounds what is reserved from your quota"})
    system = fields.Raw()
    stream = fields.Boolean()


class GenerateRequest(Open):
    """A turn, as Gemini's own API has it."""

    contents = fields.List(fields.Dict(), required=True)
    generationConfig = fields.Dict()  # noqa: N815 - Google's name
    systemInstruction = fields.Dict()  # noqa: N815


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
