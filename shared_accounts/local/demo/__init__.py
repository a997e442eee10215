"""A small OpenAI-compatible server that says plainly that it is a demo.

It has one model, `demo`, and one key, `demo`. It serves local mode and tests, so that the whole path through the
gateway, with tools, structured output, pictures and embeddings, can be tried before anybody has contributed a real
account.
"""
