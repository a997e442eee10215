from __future__ import annotations

from werkzeug.exceptions import HTTPException

from shared_accounts.lean import CALLS


def test_no_blueprint_has_hooks_of_its_own_for_calls(app):
    of_calls = {
        app.view_functions[rule.endpoint] and rule.endpoint.rpartition(".")[0]
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(CALLS)
    }

    assert of_calls >= {"v1", "passthrough", "generate"}
    for hooks in (app.before_request_funcs, app.after_request_funcs, app.url_value_preprocessors):
        assert not of_calls & {name for name, of_blueprint in hooks.items() if of_blueprint}
    assert not app.url_value_preprocessors[None]


def test_a_call_is_found_where_werkzeug_would_find_it(app):
    posts = [rule.rule for rule in app.url_map.iter_rules() if "POST" in rule.methods and rule.rule.startswith(CALLS)]

    for path in [*posts, "/v1/chat/completions/", "/v1/none", "/v1/chat//completions", "/V1/chat/completions"]:
        with app.test_request_context(path, method="POST") as context:
            here = _ended(context)
            slowly = _ended(app.url_map.bind_to_environ(context.request.environ))
        assert here == slowly, path

    assert len(app.found) > 5


def _ended(asked):
    if hasattr(asked, "request"):
        asked.match_request()
        failed = asked.request.routing_exception
        return type(failed) if failed else (asked.request.url_rule, asked.request.view_args)
    try:
        return asked.match(return_rule=True)
    except HTTPException as failed:
        return type(failed)


def test_what_a_view_raises_is_answered_as_elsewhere(client):
    for path in ("/v1/chat/completions", "/api/plugin-api/chat/completions"):
        answer = client.post(path, data="{", headers={"Authorization": "Bearer sk-none"})

        assert answer.status_code == 401
        assert answer.headers["x-request-id"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
