"""The endpoints, one file per topic, each listed here.

Each route names the recording of real traffic that shows it, or the unmodified SDK. No available
recording shows the following, so it was decided here:

- cancel: 202 with a Location below `mfeOperationResults`, which is 202 until the job is over, then
  200; for a job that is already over, 200 at once and no change
- lists: newest first, 100 to a page, `nextLink` with `$skip`; `tag` is a tag's key; `properties`
  is "name" or "name=value", several separated by commas
- an unknown job, run, code, environment or datastore: 404 "UserError"; a new job with an unknown
  code or environment version of this workspace: 400; the same for `inputs.x` in a command without
  such an input
- the message for a job whose immutable part differs is from the public report
  MicrosoftDocs/azure-docs#122250; its inner code is ours
- code: 400 for a `codeUri` without a folder below its container, as the SDK always names one
- compute: a job without one is serverless; the name "serverless" is an unknown target like others
- statuses of a job: Starting in the answer, then Queued, Preparing, Running, Finalizing
- the error of a failing command has the message of Azure/azureml-examples#2614, in the structure
  that test_pipeline_job...child_run_download shows
- a job's own limit: Canceled, with a `cancelationReason` and no error; optionally Failed with an
  error, because no recording shows which is right
- preemption: Failed with a SystemError, nothing of the node kept, no second try
- outputs of a canceled or failed job are uploaded as far as they exist; run history lists them as
  data assets for a completed job only (failed: null, as recorded)
- an environment is stored, not built: all jobs run with the emulator's one interpreter
- the signature for uploads is an ordinary service SAS, not a user delegation SAS; the artifact
  store's container has the workspace's id in its name, so that emulators can share an account
- a model from a job's output: its path is resolved to the datastore's, and `jobName` is that job
  (learn.microsoft.com, "Work with registered models", shows the path and the lineage, but no
  answer); what the path names must exist; a path or type that differs from the version's: 400 with
  our own message
- a workspace without keys: no credential for uploads, and no key for a datastore
- a missing, foreign or expired token: 401 with ARM's codes, also from run history
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
