// The host's right to submit runs to one workspace, which may be of another resource group.

param workspaceName string
param hostPrincipalId string

var dataScientist = 'f6c7c914-8db3-469d-8ca1-694a8f32e121' // AzureML Data Scientist

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
