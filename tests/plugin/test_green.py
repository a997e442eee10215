"""In a web worker everybody shares one thread: who waits for the Plug-in must not keep the others waiting."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from tests.upstream import Turn, says

CROWD = 12
PROGRAM = """
from gevent import monkey
monkey.patch_all()
import sys, gevent
from shared_accounts.plugin.client import PluginConnection, PluginUnreachable, PluginUser
from shared_accounts.plugin.connection import Limits

url, crowd = sys.argv[1], int(sys.argv[2])
connection = PluginConnection(url, management=Limits(gap=60, total=60, longest=1000))
asked = [gevent.spawn(PluginUser(connection, f"sk-{number}").me) for number in range(crowd)]
gevent.joinall(asked, raise_error=True)

hasty = PluginConnection(url, management=Limits(gap=30, total=0.5, longest=1000))
try:
    PluginUser(hasty, "sk-late").me()
except PluginUnreachable as failure:
    assert failure.timed_out
    print("all answered, one late")
"""


def test_waiting_for_the_plug_in_holds_nobody_up(scripted):
    """Nobody is answered before everybody has asked, so one after the other would never end."""

    def answers_once_all_have_asked(turn: Turn) -> bool:
        server.wait_for(CROWD, 40)
        if turn.request.header("authorization") == "Bearer sk-late":
            turn.wait(30)
        return says(b'{"success": true}')(turn)

    server = scripted(answers_once_all_have_asked)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, f"http://127.0.0.1:{server.port}", str(CROWD)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.stdout == "all answered, one late\n", done.stderr
