"""The endpoints by topic; a further topic is a further file, listed here."""

from mlgate.emulators.azure_ml.routes import assets, datastores, history, jobs, login, scope
from mlgate.emulators.azure_ml.routing import Route

ROUTES: tuple[Route, ...] = (
    *login.ROUTES,
    *scope.ROUTES,
    *assets.ROUTES,
    *jobs.ROUTES,
    *datastores.ROUTES,
    *history.ROUTES,
)
