"""A small Plug-in API server with its habits and its faults, for tests and for trying the service on one machine.

    python -m shared_accounts.local.plugin_server --port 8045 --admin-key sk-admin-...

It holds everything in memory, and with `--keep FILE` in a file as well, and talks to nobody: Google is played by a page
of its own, models by a script.
"""
