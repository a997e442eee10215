"""What `./run.sh` ends in: run everything on this machine, tell how to use it, and stop it cleanly."""

from __future__ import annotations

import argparse
import sys

from shared_accounts.local import with_plugin
from shared_accounts.local.first_steps import FirstSteps, Refused
from shared_accounts.local.home import LocalError
from shared_accounts.local.plan import Plan, draw_up
from shared_accounts.local.service import LocalService
from shared_accounts.local.supervisor import Signals, StopRequested, say

_QUESTION = '{"model": "demo", "stream": true, "messages": [{"role": "user", "content": "Hello! Who are you?"}]}'


def main() -> int:
    """Return 0 after a stop that was asked for, 1 when something kept the service from running."""
    options = _options()
    signals = Signals()
    signals.install()
    try:
        plan = with_plugin.join(draw_up()) if options.with_plugin else draw_up()
        service = LocalService(plan, signals)
    except LocalError as error:
        return _failed(error)
    try:
        service.start()
        _welcome(plan, service)
        service.run()
    except StopRequested:
        say("Stopping; a second Ctrl-C hurries ...")
    except LocalError as error:
        return _failed(error)
    finally:
        service.stop()
    say("Stopped. The data stays.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.sh", description="Start the whole service on this machine.")
    parser.add_argument("--with-plugin", action="store_true", help="and a Plug-in API server for it to work with")
    return parser.parse_args()


def _welcome(plan: Plan, service: LocalService) -> None:
    steps = FirstSteps(plan)
    first = steps.key is None
    skipped = None
    try:
        steps.take()
    except Refused as refusal:
        skipped = str(refusal)
    service.announce(steps.key)
    say(_banner(plan, password=_password(plan, first=first), key=steps.key))
    if skipped:
        say(f"  The demo set-up was skipped: {skipped}.\n")


def _password(plan: Plan, *, first: bool) -> str:
    if not plan.password_is_ours:
        return "the ADMIN_PASSWORD you set"
    return plan.settings["ADMIN_PASSWORD"] if first else f"as at the first start; kept in {plan.home / 'secrets.json'}"


def _banner(plan: Plan, *, password: str, key: str | None) -> str:
    curl = f"curl -N {plan.url}/v1/chat/completions -H 'Authorization: Bearer {key or '<your key>'}'"
    plugin_url = plan.settings.get("PLUGIN_API_BASE_URL")
    plugin = f"\n  Plug-in   {plugin_url}" if plugin_url else ""
    return f"""
  Console   {plan.url}/
  Admin     {plan.settings["ADMIN_USERNAME"]}, password: {password}
  Data      {plan.home}   (logs/ and secrets.json in it){plugin}

  Try it:
  {curl} -H 'Content-Type: application/json' -d '{_QUESTION}'

  Ctrl-C stops everything; the data stays.
"""


def _failed(error: LocalError) -> int:
    print(f"run.sh: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
