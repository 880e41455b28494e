using 'main.bicep'

param name = 'mlgatedev'
param workspaces = [
  {
    subscriptionId: '00000000-0000-0000-0000-000000000000'
    resourceGroup: 'ml-dev'
    name: 'ml-dev'
  }
]
param allowedCollections = ['https://dev.azure.com/contoso/']
param allowedRepositories = ['https://dev.azure.com/contoso/flowers/_git/']
