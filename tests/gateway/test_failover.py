from tests.gateway.scene import *
from tests.upstream import *


def test_smoke(scene, upstream):
    u = upstream(answers("Hello you"))
    scene.account(u)
    r = scene.ask()
    print(r)
    r = scene.ask(stream=True)
    print(r.body.decode(), r.broken, u.requests[0])
    print(scene.lines())
