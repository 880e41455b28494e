// PredictFunctionApp as a function app on Flex Consumption, beside what main.bicep made of the same
// name: its model store and its telemetry. docs/deploy.md goes through it.

@description('That of main.bicep.')
@minLength(3)
@maxLength(11)
param name string

param location string = resourceGroup().location

@description('MODEL, whose log is followed, or MODEL@ID.')
param model string

@minValue(1)
param maximumInstances int = 40

@description('Instances that have the model loaded while nobody asks, paid by the hour: with 0, the first request after some quiet waits for a cold start and for the model.')
@minValue(0)
param alwaysReady int = 0

@description('The object id of the identity behind the pipeline\'s service connection.')
param pipelinePrincipalId string = ''

var blobReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1' // Storage Blob Data Reader
var publisher = '3913510d-42f4-4e42-8a64-420c390055eb' // Monitoring Metrics Publisher

// As main.bicep has them.
var suffix = uniqueString(resourceGroup().id, name)

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: take('${name}data${suffix}', 24)

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource models 'containers' existing = {
      name: 'models'
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: '${name}-insights'
}

// A model is code that runs beside the app's identity, and may come by it. So the identity is its
// own: it reads models and writes telemetry, and what the Functions host keeps is in a storage account
// of this app alone.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${name}-predict'
  location: location
}

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::models.id, identity.id, blobReader)
  scope: account::blobs::models
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobReader)
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource publish 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, identity.id, publisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', publisher)
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

module app 'function.bicep' = {
  name: 'predict'
  params: {
    name: '${name}-predict-${suffix}'
    storageName: take('${name}pred${suffix}', 24)
    location: location
    identityName: identity.name
    settings: {
      AZURE_CLIENT_ID: identity.properties.clientId
      MLGATE_MODEL: model
      MLGATE_MODELS: '${account.properties.primaryEndpoints.blob}models'
      // Else the host's own page is at `/`.
      AzureWebJobsDisableHomepage: 'true'
    }
    secretNames: []
    vaultName: ''
    insightsConnection: insights.properties.ConnectionString
    maximumInstances: maximumInstances
    alwaysReady: alwaysReady
    scalesBy: 'http'
    pipelinePrincipalId: pipelinePrincipalId
  }
  dependsOn: [read]
}

output functionAppName string = '${name}-predict-${suffix}'
