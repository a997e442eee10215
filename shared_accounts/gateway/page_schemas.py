"""What the gateway takes and answers, as its description has it. The gateway itself reads few of these fields."""

from __future__ import annotations

from marshmallow import INCLUDE, Schema, fields, validate

from shared_accounts.gateway.page_fields import either, model_name, most, most_tokens, some, switch, texts, turns


class Open(Schema):
    """Fields we do not know pass through."""

    class Meta:
        """The gateway looks at a few fields and leaves the rest to the upstream."""

        unknown = INCLUDE


class ErrorObject(Open):
    """What went wrong, in OpenAI's words; some refusals give their figures, too."""

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

    model = model_name()
    messages = turns()
    stream = switch()
    stream_options = fields.Dict(allow_none=True)
    max_completion_tokens = most_tokens()
    max_tokens = most_tokens("The older name of `max_completion_tokens`")
    n = most(128, "How many answers; each counts")


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

    model = model_name()
    prompt = texts("A text, tokens, or a list of either")
    stream = switch()
    stream_options = fields.Dict(allow_none=True)
    max_tokens = most_tokens()


class InputRequest(Open):
    """Something to work on; every field beside these goes to the upstream untouched."""

    model = model_name()
    input = texts("A text, or a list of them")


class SpeechRequest(Open):
    """A text to read aloud; every field beside these goes to the upstream untouched."""

    model = model_name()
    input = fields.String(required=True, validate=validate.Length(min=1))


class RerankRequest(Open):
    """Documents to order by a query; every field beside these goes to the upstream untouched."""

    model = model_name()
    query = fields.String(required=True, validate=validate.Length(min=1))
    documents = texts("Texts, or objects that hold one")


class ImageRequest(Open):
    """A picture to make; every field beside these goes to the upstream untouched."""

    model = model_name()
    prompt = fields.String(required=True, validate=validate.Length(min=1))
    n = most(128, "How many; each counts")
    stream = switch()


class ImageChange(ImageRequest):
    """A picture to change, sent as JSON; every field beside these goes to the upstream untouched."""

    images = either({"type": "object"}, some({"type": "object"}), says="A picture, or a list of them")


class ImageForm(Open):
    """A picture to make more of; every part beside these goes to the upstream untouched."""

    model = model_name()
    image = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
    n = most(128, "How many; each counts", allow_none=False)


class ImageChangeForm(ImageForm):
    """Pictures to change; every part beside these goes to the upstream untouched."""

    prompt = fields.String(required=True, validate=validate.Length(min=1))


class AudioForm(Open):
    """A recording to write down; every part beside these goes to the upstream untouched."""

    model = model_name()
    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class TranscriptForm(AudioForm):
    """A recording to write down, perhaps as a stream; every part beside these goes to the upstream untouched."""

    stream = fields.String(validate=validate.OneOf(["true", "false", "True", "False", "1", "0", ""]))


class UpstreamAnswer(Open):
    """The upstream's answer, as it came."""
