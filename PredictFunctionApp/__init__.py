"""The serving app's function: passes each request to this process's server."""

import azure.functions as func

from mlgate.hosts.predict import answered, begin

begin()


async def main(request: func.HttpRequest) -> func.HttpResponse:
    """Answer any path and method; unknown ones are refused as by `mlgate serve`."""
    reply = await answered(request.method, request.url, dict(request.headers), request.get_body())
    return func.HttpResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))
