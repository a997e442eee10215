"""What gunicorn and the `flask` command serve."""

from shared_accounts import create_app

app = create_app()
