"""The endpoints, one file per topic, each listed here."""

from mlgate.emulators.azure_devops.routes import (
    logs,
    organization,
    plans,
    testresults,
    testruns,
    timelines,
)
from mlgate.emulators.azure_devops.routing import Route

ROUTES: tuple[Route, ...] = (
    *organization.ROUTES,
    *plans.ROUTES,
    *timelines.ROUTES,
    *logs.ROUTES,
    *testruns.ROUTES,
    *testresults.ROUTES,
)
