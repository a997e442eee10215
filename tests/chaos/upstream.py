"""A model server that writes down every call it serves, before it answers: the truth the books are held to.

Run as `python -m tests.chaos.upstream PORT LOG`. A call is recognised by its `max_tokens`, which the chaos
command makes unique; the log is written without a buffer, so that it survives anything.
"""

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402 - after patching
import os  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def serve(port, log_path):
    log = os.open(log_path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def answer(environ, start_response):
        if environ["REQUEST_METHOD"] == "GET":
            start_response("200 OK", [("content-type", "application/json")])
            return [b'{"object":"list","data":[{"id":"m"}]}']
        body = json.loads(environ["wsgi.input"].read())
        os.write(log, f"{body['max_tokens']}\n".encode())
        kind = "text/event-stream" if body.get("stream") else "application/json"
        start_response("200 OK", [("content-type", kind)])
        return stream() if body.get("stream") else [whole()]

    WSGIServer(("127.0.0.1", port), answer, log=None).serve_forever()


def whole():
    gevent.sleep(0.05)
    message = {"role": "assistant", "content": "yes"}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}).encode()


def stream():
    for _ in range(20):
        yield event({"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
        gevent.sleep(0.03)
    yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    yield event({"choices": [], "usage": USAGE})
    yield b"data: [DONE]\n\n"


def event(frame):
    return b"data: " + json.dumps(frame).encode() + b"\n\n"


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
