"""Pool the AI accounts a group owns, and share them fairly."""

from shared_accounts.app import create_app

__all__ = ["create_app"]
