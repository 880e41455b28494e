// What mlgate remembers and leaves: a container for the state, one beside it for tokens, one for
// the files of builds, one for models. Apart from the storage of the Functions host, whose role is wider.

param accountName string
param location string
param hostPrincipalId string

var contributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor
// The second holds the tokens of open builds, and is found by its name: that of the first and this.
var containerNames = ['state', 'state-secrets', 'builds', 'models']

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: accountName
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  // No soft delete: what is deleted of the secrets must be gone.
  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: {
        enabled: false
      }
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [for each in containerNames: {
  parent: account::blobs
  name: each
  properties: {
    publicAccess: 'None'
  }
}]

resource hostRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (each, index) in containerNames: {
  name: guid(containers[index].id, hostPrincipalId, contributor)
  scope: containers[index]
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', contributor)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

output stateUrl string = '${account.properties.primaryEndpoints.blob}state'
output buildsUrl string = '${account.properties.primaryEndpoints.blob}builds'
output modelsUrl string = '${account.properties.primaryEndpoints.blob}models'
