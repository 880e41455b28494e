"""The part of Microsoft Entra ID that a client with a secret needs."""

from __future__ import annotations

from urllib.parse import parse_qsl

from mlgate.emulators.azure_ml.exchange import Answer
from mlgate.emulators.azure_ml.routing import LOGIN, Call, route
from mlgate.emulators.azure_ml.tokens import SCOPES

_SOURCE = "test_command_job...test_command_job_builder (Azure/azure-sdk-for-python)"
_FORM = {
    "client_id", "client_secret", "grant_type", "scope", "client_info", "claims",
}  # a row a line # fmt: skip


def openid_configuration(call: Call) -> Answer:
    tenant = f"https://{LOGIN}/{call.groups['tenant']}"
    return Answer(
        body={
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "jwks_uri": f"{tenant}/discovery/v2.0/keys",
            "issuer": f"{tenant}/v2.0",
            "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{tenant}/oauth2/v2.0/devicecode",
            "tenant_region_scope": "EU",
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
            "rbac_url": "https://pas.windows.net",
        }
    )


def instance_discovery(_: Call) -> Answer:
    aliases = [LOGIN, "login.windows.net", "login.microsoft.com", "sts.windows.net"]
    public = {
        "preferred_network": LOGIN,
        "preferred_cache": "login.windows.net",
        "aliases": aliases,
    }
    endpoint = f"https://{LOGIN}/common/.well-known/openid-configuration"
    return Answer(
        body={
            "tenant_discovery_endpoint": endpoint,
            "api-version": "1.1",
            "metadata": [public],
        }
    )


def token(call: Call) -> Answer:
    form = dict(parse_qsl(call.request.body.decode()))
    for name in sorted(form.keys() - _FORM):
        call.violation(f"form field {name!r} is unknown")
    principal = call.workspace.principal
    if call.groups["tenant"] != principal.tenant_id:
        return _refused(400, "invalid_request", 90002, "Tenant not found.")
    if form.get("grant_type") != "client_credentials":
        return _refused(400, "unsupported_grant_type", 70003, "The grant type is not supported.")
    if form.get("client_id") != principal.client_id:
        return _refused(400, "unauthorized_client", 700016, "Application was not found.")
    if form.get("client_secret") != principal.client_secret:
        return _refused(401, "invalid_client", 7000215, "Invalid client secret provided.")
    audience = SCOPES.get(form.get("scope", ""))
    if audience is None:
        call.violation(f"scope {form.get('scope')!r}, not {' or '.join(SCOPES)}")
        return _refused(400, "invalid_scope", 70011, "The scope is not valid.")
    tokens = call.service.tokens
    seconds = int(tokens.lifetime.total_seconds())
    return Answer(
        body={
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": tokens.issue(principal, audience),
        },
        headers={"Cache-Control": "no-store, no-cache"},
    )


def _refused(status: int, error: str, code: int, message: str) -> Answer:
    return Answer(
        status,
        {
            "error": error,
            "error_description": f"AADSTS{code}: {message}",
            "error_codes": [code],
            "error_uri": f"https://{LOGIN}/error?code={code}",
        },
    )


ROUTES = (
    route(
        "token.configuration",
        "GET /{tenant}/v2.0/.well-known/openid-configuration",
        (),
        _SOURCE,
        openid_configuration,
        host=LOGIN,
        public=True,
    ),
    route(
        "token.discovery",
        "GET /common/discovery/instance",
        ("1.1",),
        _SOURCE,
        instance_discovery,
        query=("authorization_endpoint",),
        host=LOGIN,
        public=True,
    ),
    route(
        "token",
        "POST /{tenant}/oauth2/v2.0/token",
        (),
        _SOURCE,
        token,
        content_type="application/x-www-form-urlencoded",
        host=LOGIN,
        public=True,
    ),
)
