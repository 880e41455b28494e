// The host's right to submit runs to one workspace, which may be of another resource group, and to
// its storage, where that takes no keys.

param workspaceName string
param hostPrincipalId string

@description('The workspace\'s storage account, if it takes no keys; empty for one with keys.')
param storageAccountName string = ''

var dataScientist = 'f6c7c914-8db3-469d-8ca1-694a8f32e121' // AzureML Data Scientist
var contributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe' // Storage Blob Data Contributor

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-06-01' existing = {
  name: workspaceName
}

resource hostRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, hostPrincipalId, dataScientist)
  scope: workspace
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', dataScientist)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = if (!empty(storageAccountName)) {
  name: storageAccountName
}

resource storageRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(storageAccountName)) {
  name: guid(storage.id, hostPrincipalId, contributor)
  scope: storage
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', contributor)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}
