"""The endpoints by topic; a further topic is a further file, listed here.

Each route names the recording of real traffic that shows it, or the unmodified SDK. Decided here,
because no recording at hand shows it:

- cancel: 202 with a Location below `mfeOperationResults` that is 202 until the job is over, then
  200; a job that is over already is answered 200 at once and stays as it is
- lists: newest first, 100 to a page, `nextLink` with `$skip`; `tag` is a tag's key; `properties`
  is "name" or "name=value", several by comma
- a job, run, code, environment or datastore that is not there: 404 "UserError"; a code, or an
  environment version of this workspace, that a new job names and that is not there: 400, and so
  for `inputs.x` in a command that has no such input
- the sentence for a job whose immutable part differs is that of the public report
  MicrosoftDocs/azure-docs#122250; its inner code is ours
- compute: none is serverless; the name "serverless" is an unknown target like any other
- statuses of a job: Starting as answered, then Queued, Preparing, Running, Finalizing
- a failing command's error has the sentence of Azure/azureml-examples#2614, in the frame that
  test_pipeline_job...child_run_download shows
- a job's own limit: Canceled, with a `cancelationReason` and no error; to order, Failed with an
  error, as no record shows which it is
- preemption: Failed with a SystemError, nothing of the node kept, no second try
- outputs of a canceled or failed job are uploaded as far as they got; run history lists them as
  data assets for a completed job only (failed: null, as recorded)
- an environment is remembered, not built: a job runs with the one interpreter of the stand-in
- the signature to upload with is an ordinary service SAS, not one by user delegation; the artifact
  store's container has the workspace's id in its name, so that stand-ins can share an account
- a model made of a job's output: its path is resolved to the datastore's, and `jobName` is that
  job (learn.microsoft.com, "Work with registered models", has the path and the lineage, and no
  answer); what such a path names must be there; a path or type that differs from the version's:
  400, in words of ours
- a workspace without keys: no credential to upload with, and no key for a datastore
- a token that is missing, foreign or expired: 401 with ARM's codes, also from run history
"""

from mlgate.emulators.azure_ml.routes import (
    assets,
    datastores,
    history,
    jobs,
    login,
    models,
    scope,
)
from mlgate.emulators.azure_ml.routing import Route

ROUTES: tuple[Route, ...] = (
    *login.ROUTES,
    *scope.ROUTES,
    *assets.ROUTES,
    *jobs.ROUTES,
    *datastores.ROUTES,
    *models.ROUTES,
    *history.ROUTES,
)
