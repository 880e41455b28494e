"""`connectionData`, from which clients learn whose token they have.

Used by `LocationHttpClient` of microsoft/azure-devops-node-api, and by the agent when it connects.
"""

from __future__ import annotations

from mlgate.emulators.azure_devops.exchange import Answer
from mlgate.emulators.azure_devops.routing import Call, Route, route

_JOB = "11111111-0000-0000-0000-000000000001"
_IDENTITY = "11111111-0000-0000-0000-000000000002"


def connection_data(call: Call) -> Answer:
    job = call.caller is not None
    user = {
        "id": _JOB if job else _IDENTITY,
        "descriptor": "Microsoft.TeamFoundation.ServiceIdentity;build"
        if job
        else "Microsoft.VisualStudio.Services.Claims.AadServicePrincipal;host",
        "providerDisplayName": "Project Build Service" if job else "mlgate-host",
        "isActive": True,
    }
    return Answer(
        body={
            "authenticatedUser": user,
            "authorizedUser": user,
            "instanceId": "22222222-0000-0000-0000-000000000000",
            "deploymentType": "hosted",
        }
    )


ROUTES: tuple[Route, ...] = (
    route(
        "connection data",
        "GET _apis/connectionData",
        ("7.1-preview.1", "7.1-preview"),
        connection_data,
        public=True,
    ),
)
