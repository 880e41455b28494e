// A file share for models, where the blob container that store.bicep makes cannot be used.
//
// What it costs: a container app mounts a share with a key of its account. So this account has keys,
// as no other of infra/ has. A key lets its reader write every model, and after a new one is made this
// has to be deployed again, as the environments hold the old one. The container needs none of that.

param accountName string
param location string = resourceGroup().location

@description('Environments of container apps that may write: that of the worker.')
param writers string[]

@description('Environments of container apps that may read: those of servers.')
param readers string[] = []

var mountedAs = 'models'

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: accountName
  location: location
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: true // or nothing could be mounted
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }

  resource files 'fileServices' = {
    name: 'default'

    resource models 'shares' = {
      name: 'models'
      properties: {
        enabledProtocols: 'SMB'
        shareQuota: 100 // GiB
      }
    }
  }
}

resource writing 'Microsoft.App/managedEnvironments@2025-01-01' existing = [for each in writers: {
  name: each
}]

resource reading 'Microsoft.App/managedEnvironments@2025-01-01' existing = [for each in readers: {
  name: each
}]

resource written 'Microsoft.App/managedEnvironments/storages@2025-01-01' = [for (each, index) in writers: {
  parent: writing[index]
  name: mountedAs
  properties: {
    azureFile: {
      accountName: account.name
      accountKey: account.listKeys().keys[0].value
      shareName: account::files::models.name
      accessMode: 'ReadWrite'
    }
  }
}]

resource readOnly 'Microsoft.App/managedEnvironments/storages@2025-01-01' = [for (each, index) in readers: {
  parent: reading[index]
  name: mountedAs
  properties: {
    azureFile: {
      accountName: account.name
      accountKey: account.listKeys().keys[0].value
      shareName: account::files::models.name
      accessMode: 'ReadOnly'
    }
  }
}]

output storageName string = mountedAs
