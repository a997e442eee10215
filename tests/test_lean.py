from __future__ import annotations

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
