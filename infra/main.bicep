// Everything that a host of mlgate needs, for one environment, in one resource group.
// docs/deploy.md goes through it. Nothing here holds or hands out a key: every connection is one
// identity with one role on one thing.

@description('Begins the name of each resource: a lower-case letter, then such letters and digits.')
@minLength(3)
@maxLength(11)
param name string

param location string = resourceGroup().location

@description('What handles the messages. A function app can use the backend azureml only.')
@allowed(['containerApp', 'functionApp'])
param host string = 'containerApp'

@description('The backend of messages that name none, and the only one that they may choose.')
@allowed(['azureml', 'local'])
param backend string = 'azureml'

@description('Azure ML workspaces that messages may use; the first is the one of those that name none.')
param workspaces workspace[] = []

@description('An Azure ML compute of each workspace, or serverless.')
param compute string = 'serverless'

@description('The identity that jobs run with where a workspace has no keys: user, managed or managed:CLIENT_ID. Empty for the compute\'s.')
param jobIdentity string = ''

@description('The environment of runs that ask for none; empty for the one that mlgate documents.')
param environmentName string = ''

@description('URL prefixes that callbacks, and so tokens, may be sent to.')
@minLength(1)
param allowedCollections string[]

@description('URL prefixes that may be cloned.')
@minLength(1)
param allowedRepositories string[]

@description('Who may change which model: model=REPOSITORY_URL_PREFIX, with @BRANCH behind it for the commits of a branch alone.')
param allowedModels string[] = []

@description('Servers that are asked whether they answer with a promoted model, each with the secret of the vault that holds its key, where it needs one.')
param services service[] = []

@description('Register each promoted version as a model of its workspace as well.')
param registerModels bool = false

@description('Secrets of the vault, each the token for repositories whose URL begins so.')
param repositoryTokens repositoryToken[] = []

@description('Call back with the identity of the host when the token of a job has expired.')
param devopsIdentity bool = false

@description('The object id of the identity behind the pipeline\'s service connection.')
param pipelinePrincipalId string = ''

param queueName string = 'function-queue'

@description('Whether the container app is there already, whose image then stays as it is.')
param workerExists bool = false

@description('At most so many instances of each function of the function app, of which a region may refuse less than 40; or replicas of the container app.')
@minValue(1)
param maximumInstances int = 40

@description('Instances of the function app that wait for messages of the queue: 1 takes them at once, 0 costs nothing and takes the first one after up to two minutes.')
@minValue(0)
@maxValue(1)
param alwaysReady int = 0

@description('Gets a mail when the timer of a function app has not run for ten minutes.')
param alertEmail string = ''

type workspace = {
  subscriptionId: string
  resourceGroup: string
  name: string
  @description('Its storage account, in the same resource group, if that takes no keys.')
  storageAccount: string?
}

type repositoryToken = {
  @description('The secret\'s name in the vault: letters and digits.')
  secret: string
  @description('Such as https://github.com/contoso/')
  urlPrefix: string
}

type service = {
  urlPrefix: string
  secret: string?
}

var suffix = uniqueString(resourceGroup().id, name)
var vaultName = take('${name}${suffix}', 24)
var workspaceIds = [for each in workspaces: '${each.subscriptionId}/${each.resourceGroup}/${each.name}']
var scalesWithQueue = host == 'containerApp' && backend == 'azureml'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-host'
  location: location
}

module queue 'queue.bicep' = {
  name: 'queue'
  params: {
    namespaceName: '${name}-${suffix}'
    queueName: queueName
    location: location
    hostPrincipalId: identity.properties.principalId
    pipelinePrincipalId: pipelinePrincipalId
  }
}

module store 'store.bicep' = {
  name: 'store'
  params: {
    accountName: take('${name}data${suffix}', 24)
    location: location
    hostPrincipalId: identity.properties.principalId
  }
}

module telemetry 'telemetry.bicep' = {
  name: 'telemetry'
  params: {
    name: name
    location: location
    hostPrincipalId: identity.properties.principalId
    sweeperIsAFunction: host == 'functionApp'
    alertEmail: alertEmail
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    vaultName: vaultName
    location: location
    hostPrincipalId: identity.properties.principalId
  }
}

module workspaceRoles 'workspace.bicep' = [for (each, index) in workspaces: {
  name: 'workspace${index}'
  scope: resourceGroup(each.subscriptionId, each.resourceGroup)
  params: {
    workspaceName: each.name
    storageAccountName: each.?storageAccount ?? ''
    hostPrincipalId: identity.properties.principalId
  }
}]

// docs/operations.md says what each of them means.
var settings = {
  serviceBusConnectionString__fullyQualifiedNamespace: queue.outputs.endpoint
  serviceBusConnectionString__credential: 'managedidentity'
  serviceBusConnectionString__clientId: identity.properties.clientId
  serviceBusQueueName: queueName
  AZURE_CLIENT_ID: identity.properties.clientId
  MLGATE_BACKEND: backend
  MLGATE_ALLOWED_BACKENDS: backend
  MLGATE_WORKSPACE: empty(workspaceIds) ? '' : workspaceIds[0]
  MLGATE_ALLOWED_WORKSPACES: join(workspaceIds, ',')
  MLGATE_COMPUTE: compute
  MLGATE_ENVIRONMENT: environmentName
  MLGATE_JOB_IDENTITY: jobIdentity
  MLGATE_STATE: store.outputs.stateUrl
  MLGATE_BUILDS: store.outputs.buildsUrl
  MLGATE_MODELS: store.outputs.modelsUrl
  MLGATE_HOME: host == 'functionApp' ? '/tmp/mlgate' : '/var/lib/mlgate/home'
  MLGATE_ALLOWED_COLLECTIONS: join(allowedCollections, ',')
  MLGATE_ALLOWED_REPOSITORIES: join(allowedRepositories, ',')
  MLGATE_ALLOWED_MODELS: join(allowedModels, ',')
  MLGATE_SERVICES: join(map(services, each => empty(each.?secret) ? each.urlPrefix : '${each.urlPrefix}=TOKEN_${each.?secret}'), ',')
  MLGATE_REGISTER_MODELS: registerModels ? '1' : ''
  MLGATE_GIT_CREDENTIALS: join(map(repositoryTokens, each => '${each.urlPrefix}=TOKEN_${each.secret}'), ',')
  MLGATE_DEVOPS_IDENTITY: devopsIdentity ? '1' : ''
}
var servicesWithKeys = filter(services, each => !empty(each.?secret))
var secretNames = union(map(repositoryTokens, each => each.secret), map(servicesWithKeys, each => each.?secret ?? ''))

module functionApp 'function.bicep' = if (host == 'functionApp') {
  name: 'functionApp'
  params: {
    name: '${name}-${suffix}'
    storageName: take('${name}host${suffix}', 24)
    location: location
    identityName: identity.name
    settings: settings
    secretNames: secretNames
    vaultName: vaultName
    insightsConnection: telemetry.outputs.insightsConnection
    maximumInstances: maximumInstances
    alwaysReady: alwaysReady
    // The queue's function alone: each scales by itself, and a timer is never late.
    scalesBy: 'function:RunNotebookFunctionApp'
    pipelinePrincipalId: pipelinePrincipalId
  }
  // References are resolved when the app starts, roles are looked at when it first connects.
  dependsOn: [vault, workspaceRoles]
}

module containerApp 'container.bicep' = if (host == 'containerApp') {
  name: 'containerApp'
  params: {
    name: name
    location: location
    identityName: identity.name
    registryName: '${name}${suffix}'
    exists: workerExists
    settings: settings
    secretNames: secretNames
    vaultName: vaultName
    logsId: telemetry.outputs.logsId
    namespaceName: queue.outputs.namespaceName
    queueName: queueName
    // Runs on a replica belong to that replica.
    replicas: backend == 'local' ? 1 : maximumInstances
    scalesWithQueue: scalesWithQueue
    pipelinePrincipalId: pipelinePrincipalId
  }
  dependsOn: [vault, workspaceRoles]
}

output serviceBusNamespace string = queue.outputs.namespaceName
output hostPrincipalId string = identity.properties.principalId
output functionAppName string = host == 'functionApp' ? '${name}-${suffix}' : ''
output containerAppName string = host == 'containerApp' ? '${name}-worker' : ''
output registryName string = host == 'containerApp' ? '${name}${suffix}' : ''
output vaultName string = vaultName
// Where azd pushes the worker's image.
output AZURE_CONTAINER_REGISTRY_ENDPOINT string = host == 'containerApp' ? containerApp!.outputs.registryServer : ''
output buildsUrl string = store.outputs.buildsUrl
output modelsUrl string = store.outputs.modelsUrl
