"""The current version, where a build's runs find it, so that an evaluation can score both."""

from __future__ import annotations

from dataclasses import replace

from mlgate.orchestration.builds import Build
from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.ports import BackendPort, Ports


def staged(ports: Ports, build: Build, backend: BackendPort) -> Build:
    """The build whose runs find the current version of what it offers, where there is one."""
    if build.promote is None:
        return build
    models, model = ports.models(), build.promote.model
    current = models.head(model).entry
    if current is None:
        return build
    try:
        with models.fetched(model, current.id) as folder:
            word = backend.stage_model(current.id, folder)
    except Permanent as error:
        if isinstance(error, UnfitHost):
            raise
        # If this failed the build, a damaged version could never be replaced.
        warning = (
            f"The runs find no current version of {model}: {error} "
            "Run `mlgate models --check` to see what is wrong with it."
        )
        return replace(build, warnings=(*build.warnings, warning))
    return replace(build, current_model=word, current_version=current.id)
