"""What the `celery` command runs: the same application, entered by its other door."""

from shared_accounts import create_app

app = create_app()
celery_app = app.extensions["celery"]
