"""What the gateway takes and answers, as its description has it. The gateway itself reads few of these fields."""

from __future__ import annotations

from marshmallow import INCLUDE, Schema, fields


class Open(Schema):
    """Fields we do not know pass through."""

    class Meta:
        """The gateway looks at a few fields and leaves the rest to the upstream."""

        unknown = INCLUDE


class ErrorObject(Schema):
    """What went wrong, in OpenAI's words."""

    message = fields.String(metadata={"description": "A sentence for people"})
    type = fields.String(metadata={"description": "The kind of error, which SDKs map to their exceptions"})
    param = fields.String(allow_none=True, metadata={"description": "The field that cannot be used"})
    code = fields.String(allow_none=True, metadata={"description": "A stable word for programs"})


class OpenAIRefusal(Schema):
    """What every refusal under `/v1` looks like."""

    error = fields.Nested(ErrorObject)


class Model(Schema):
    """A model the caller can use."""

    id = fields.String()
    object = fields.Constant("model", metadata={"type": "string"})
    created = fields.Integer(metadata={"description": "Since when an account here serves it, in Unix seconds"})
    owned_by = fields.String()


class ModelList(Schema):
    """The models the caller can use."""

    object = fields.Constant("list", metadata={"type": "string"})
    data = fields.List(fields.Nested(Model))


class ChatRequest(Open):
    """A chat, as OpenAI's API has it; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    messages = fields.List(fields.Dict(), required=True)
    stream = fields.Boolean()
    stream_options = fields.Dict()
    max_completion_tokens = fields.Integer(metadata={"description": "Bounds what is reserved from your quota"})
    max_tokens = fields.Integer(metadata={"description": "The older name of `max_completion_tokens`"})
    n = fields.Integer()


class TokenUsage(Open):
    """What an exchange consumed, as the upstream counts."""

    prompt_tokens = fields.Integer()
    completion_tokens = fields.Integer()
    total_tokens = fields.Integer()


class ChatCompletion(Open):
    """The upstream's answer, as it came."""

    id = fields.String()
    object = fields.String()
    created = fields.Integer()
    model = fields.String()
    choices = fields.List(fields.Dict())
    usage = fields.Nested(TokenUsage)


class ChatCompletionChunk(ChatCompletion):
    """The `data:` of one event; the stream ends with `data: [DONE]`, or without it when it broke off."""


class CompletionRequest(Open):
    """A text to go on with; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    prompt = fields.Raw(required=True, metadata={"description": "A text, tokens, or a list of either"})
    stream = fields.Boolean()
    max_tokens = fields.Integer(metadata={"description": "Bounds what is reserved from your quota"})


class InputRequest(Open):
    """Something to work on; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    input = fields.Raw(required=True, metadata={"description": "A text, or a list of them"})


class RerankRequest(Open):
    """Documents to order by a query; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    query = fields.String(required=True)
    documents = fields.List(fields.Raw(), required=True)


class ImageRequest(Open):
    """A picture to make; every field beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    prompt = fields.String(required=True)
    n = fields.Integer(metadata={"description": "How many; each counts"})
    stream = fields.Boolean()


class ImageForm(Open):
    """Pictures to change, or to make more of; every part beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    image = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
    prompt = fields.String()
    n = fields.Integer(metadata={"description": "How many; each counts"})


class AudioForm(Open):
    """A recording to write down; every part beside these goes to the upstream untouched."""

    model = fields.String(required=True)
    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
    stream = fields.Boolean()


class UpstreamAnswer(Open):
    """The upstream's answer, as it came."""
