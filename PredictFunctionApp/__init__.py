"""The serving app's function: have this process's server answer the request."""

import azure.functions as func

from mlgate.hosts.predict import answered, begin

begin()


async def main(request: func.HttpRequest) -> func.HttpResponse:
    """Any path and method: what is not known there is refused as `mlgate serve` refuses it."""
    reply = await answered(request.method, request.url, dict(request.headers), request.get_body())
    return func.HttpResponse(reply.body, status_code=reply.status, headers=dict(reply.headers))
