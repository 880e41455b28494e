using 'main.bicep'

param name = 'mlgateprod'
param workspaces = [
  {
    subscriptionId: '00000000-0000-0000-0000-000000000000'
    resourceGroup: 'ml-prod'
    name: 'ml-prod'
  }
]
param compute = 'validation'
param allowedCollections = ['https://dev.azure.com/contoso/']
param allowedRepositories = [
  'https://dev.azure.com/contoso/flowers/_git/'
  'https://github.com/contoso/'
]
param allowedModels = ['flowers=https://dev.azure.com/contoso/flowers/_git/flowers@main']
param repositoryTokens = [
  {
    secret: 'github'
    urlPrefix: 'https://github.com/contoso/'
  }
]
param devopsIdentity = true
param pipelinePrincipalId = '00000000-0000-0000-0000-000000000000'
