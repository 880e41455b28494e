"""The bodies of requests, each with the source of its fields.

Recordings are in Azure/azure-sdk-assets, python/sdk/ml/azure-ai-ml/tests/recordings; "SDK" means
that the unmodified azure-ai-ml 1.35.2 sends it.
"""

from __future__ import annotations

from mlgate.emulators.azure_ml.shapes import Anything, Choice, ListOf, MapOf, Shape

# test_code...test_download_directory_code
PENDING_UPLOAD = Shape("PendingUploadRequestDto", {"pendingUploadType": str})
# test_code...test_download_directory_code
CODE_VERSION = Shape(
    "CodeVersionResource",
    {
        "properties": Shape(
            "CodeVersionProperties",
            {
                "codeUri": str,
                "isAnonymous": bool,
                "isArchived": bool,
                "properties": MapOf(Anything()),  # the SDK sends hash_version as a number
                "description": str,
                "tags": MapOf(str),
            },
            ("codeUri",),
        )
    },
    ("properties",),
)
# test_environment...test_environment_create_conda, test_command_job...test_ray_command_job
ENVIRONMENT_VERSION = Shape(
    "EnvironmentVersionResource",
    {
        "properties": Shape(
            "EnvironmentVersionProperties",
            {
                "condaFile": str,
                "image": str,
                "isAnonymous": bool,
                "isArchived": bool,
                "description": str,
                "tags": MapOf(str),
                "properties": MapOf(str),
            },
        )
    },
    ("properties",),
)
# test_model...test_crud_file; `jobName` and `stage`: SDK, which archives a version by sending back
# what it read
MODEL_VERSION = Shape(
    "ModelVersionResource",
    {
        "properties": Shape(
            "ModelVersionProperties",
            {
                "description": str,
                "properties": MapOf(str),
                "tags": MapOf(str),
                "isAnonymous": bool,
                "isArchived": bool,
                "flavors": MapOf(Shape("FlavorData", {"data": MapOf(str)})),
                "modelType": str,
                "modelUri": str,
                "jobName": str,
                "stage": str,
            },
            ("modelType", "modelUri"),
        )
    },
    ("properties",),
)

_DATA = {"uri": str, "mode": str, "description": str}
# literal: test_pipeline_job...test_pipeline_job_create; the others test_command_job...serverless
# and ...with_inputs_with_datastore_param
_INPUT = Choice(
    "JobInput",
    "jobInputType",
    {
        "uri_folder": Shape("UriFolderJobInput", {"jobInputType": str, **_DATA}, ("uri",)),
        "uri_file": Shape("UriFileJobInput", {"jobInputType": str, **_DATA}, ("uri",)),
        "literal": Shape(
            "LiteralJobInput", {"jobInputType": str, "value": str, "description": str}, ("value",)
        ),
    },
)
# test_command_job...test_command_job_register_output, which also shows that `assetVersion` is
# refused
_OUTPUT = Choice(
    "JobOutput",
    "jobOutputType",
    {"uri_folder": Shape("UriFolderJobOutput", {"jobOutputType": str, "assetName": str, **_DATA})},
)
# SDK
_IDENTITY = Choice(
    "IdentityConfiguration",
    "identityType",
    {
        "AMLToken": Shape("AmlToken", {"identityType": str}),
        "Managed": Shape("ManagedIdentity", {"identityType": str, "clientId": str}),
        "UserIdentity": Shape("UserIdentity", {"identityType": str}),
    },
)
# test_ray_command_job, test_command_job_serverless; `limits` and `resources` in full: SDK
_COMMAND_JOB = Shape(
    "CommandJob",
    {
        "jobType": str,
        "command": str,
        "codeId": str,
        "environmentId": str,
        "environmentVariables": MapOf(str),
        "computeId": str,
        "description": str,
        "displayName": str,
        "experimentName": str,
        "tags": MapOf(str),
        "properties": MapOf(str),
        "isArchived": bool,
        "identity": _IDENTITY,
        "inputs": MapOf(_INPUT),
        "outputs": MapOf(_OUTPUT),
        "limits": Shape("CommandJobLimits", {"jobLimitsType": str, "timeout": str}),
        "resources": Shape(
            "JobResourceConfiguration",
            {
                "instanceCount": int,
                "instanceType": str,
                "shmSize": str,
                "properties": MapOf(MapOf(str)),
            },
        ),
        "queueSettings": Shape("QueueSettings", {"jobTier": str}),
    },
    ("jobType", "command", "environmentId"),
)
JOB = Shape(
    "JobBaseResource",
    {"properties": Choice("JobBase", "jobType", {"Command": _COMMAND_JOB})},
    ("properties",),
)

# test_command_job...test_command_job_serverless
SECRET_EXPIRY = Shape("SecretExpiry", {"expirableSecret": bool, "expireAfterHours": int})
# SDK
RESOLVED_URIS = Shape("BatchGetResolvedURIs", {"values": ListOf(str)}, ("values",))
# test_pipeline_job...LongRunning...test_pipeline_job_download
RUN_DATA = Shape(
    "GetRunDataRequest",
    {
        "runId": str,
        "selectRunMetadata": bool,
        "selectRunDefinition": bool,
        "selectJobSpecification": bool,
    },
    ("runId",),
)
