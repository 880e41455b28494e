// For azd: what `azd env set` gave. The names are those of the host's settings, and so are the forms.
using 'main.bicep'

param name = readEnvironmentVariable('MLGATE_NAME', 'mlgate')
param workspaces = map(split(readEnvironmentVariable('MLGATE_WORKSPACE'), ','), each => {
  subscriptionId: split(each, '/')[0]
  resourceGroup: split(each, '/')[1]
  name: split(each, '/')[2]
})
param compute = readEnvironmentVariable('MLGATE_COMPUTE', 'serverless')
param environmentName = readEnvironmentVariable('MLGATE_ENVIRONMENT', '')
param jobIdentity = readEnvironmentVariable('MLGATE_JOB_IDENTITY', '')
param allowedCollections = split(readEnvironmentVariable('MLGATE_ALLOWED_COLLECTIONS'), ',')
param allowedRepositories = split(readEnvironmentVariable('MLGATE_ALLOWED_REPOSITORIES'), ',')
param allowedModels = empty(readEnvironmentVariable('MLGATE_ALLOWED_MODELS', '')) ? [] : split(readEnvironmentVariable('MLGATE_ALLOWED_MODELS', ''), ',')
param pipelinePrincipalId = readEnvironmentVariable('MLGATE_PIPELINE_PRINCIPAL_ID', '')
// Set by azd.
param workerExists = bool(readEnvironmentVariable('SERVICE_WORKER_RESOURCE_EXISTS', 'false'))
