"""What the `celery` command runs: the same application, entered by its other door."""

from shared_accounts import create_app

flask_app = create_app()  # not `app`: the celery command would take that name for its own
celery_app = flask_app.extensions["celery"]
