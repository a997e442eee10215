"""The API's document, made when somebody asks for it: most processes end without having been asked."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

from flask import Flask
from flask_smorest import Api, Blueprint


class DescribedLate(Api):  # type: ignore[misc]
    """flask-smorest's part in an application, whose `spec` says all there is to say from the first time it is read.

    Invariant: what is left for later is said in the order it was left, once, whoever asks and however many at a time.
    """

    def __init__(self) -> None:
        self._spec: Any = None
        self._later: list[Callable[[], None]] = []
        self._one_at_a_time = RLock()  # and who describes may ask for what is described so far
        super().__init__()

    def init_app(self, app: Flask, *, spec_kwargs: dict[str, Any] | None = None) -> None:
        """Begin a document of this application; nothing is left to say of one that was before."""
        self._later.clear()
        super().init_app(app, spec_kwargs=spec_kwargs)

    @property
    def spec(self) -> Any:
        """The whole document."""
        with self._one_at_a_time:
            while self._later:
                self._later.pop(0)()
            return self._spec

    @spec.setter
    def spec(self, spec: Any) -> None:
        self._spec = spec

    def later(self, describe: Callable[[], None]) -> None:
        """Leave something to be said when the document is asked for."""
        self._later.append(describe)

    def register_blueprint(self, blp: Blueprint, *, parameters: Any = None, **options: Any) -> None:
        """Open a door now, and describe it later."""
        app, name = self._app, options.get("name", blp.name)
        app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        app.register_blueprint(blp, **options)

        def describe() -> None:
            blp.register_views_in_doc(self, app, self._spec, name=name, parameters=parameters)
            self._spec.tag({"name": name, "description": blp.description})

        self.later(describe)
