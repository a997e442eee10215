"""A Flask route that answers a constant: what the framework alone costs on this machine.

Machines differ by a factor of five; what a gateway costs in bare requests hardly does.
"""

from flask import Flask, Response

app = Flask(__name__)


@app.post("/v1/chat/completions")
def answer() -> Response:
    return Response(b'{"choices": []}', mimetype="application/json")


@app.get("/livez")
def livez() -> str:
    return "up"
