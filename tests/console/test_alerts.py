"""Alerts for admins."""

from __future__ import annotations

from shared_accounts.alerts.models import Alert
from shared_accounts.extensions import db
from tests import factories


def test_alerts_of_the_group_are_read_for_all_admins(signed_in):
    boss = signed_in(factories.admin(username="boss", password=factories.PASSWORD))
    other = signed_in(factories.admin(username="other", password=factories.PASSWORD))
    told = {"kind": "job_failing", "subject": "probe_accounts", "episode": 1}
    db.session.add(Alert(**told, details={"job": "probe_accounts", "failures": 3}))
    db.session.commit()

    page = boss.get("/admin/alerts")
    assert "The job probe_accounts keeps failing" in page.text
    boss.send(page, "/admin/alerts/read")

    assert "Nothing new" in other.get("/admin/alerts").text
