// `mlgate worker` as a container app. It listens to no port, so there is nothing to probe: a worker
// that ends is started again.

param name string
param location string
param identityName string
param registryName string
param exists bool
param settings object
param secretNames string[]
param vaultName string
param logsId string
param namespaceName string
param queueName string
param replicas int
param scalesWithQueue bool
param pipelinePrincipalId string

var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull
var acrPush = '8311e382-0749-4cb8-b61a-304f252e45ec' // AcrPush
var appContributor = '358470bc-b998-42bd-ab17-a7e34c199c0f' // Container Apps Contributor
// An app cannot be made without an image, and there is none before the first deployment of code.
var standIn = 'mcr.microsoft.com/azuredocs/containerapps-helloworld:latest'

var variables = map(items(settings), each => {
  name: each.key
  value: each.value
})
var secretVariables = map(secretNames, each => {
  name: 'TOKEN_${each}'
  secretRef: toLower(each)
})
var rules = [
  {
    name: 'queue'
    custom: {
      type: 'azure-servicebus'
      identity: identity.id
      metadata: {
        namespace: namespaceName
        queueName: queueName
        messageCount: '8' // twice what a worker handles at once
      }
    }
  }
]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' = {
  name: registryName
  location: location
  sku: {
    name: 'Basic'
  }
  properties: {
    adminUserEnabled: false
  }
}

module running 'image.bicep' = {
  name: 'image'
  params: {
    appName: '${name}-worker'
    exists: exists
  }
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, identity.id, acrPull)
  scope: registry
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource place 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: '${name}-place'
  location: location
  properties: {
    appLogsConfiguration: {
      destination: 'azure-monitor' // the other destination wants a key
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
  }
}

resource toLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-logs'
  scope: place
  properties: {
    workspaceId: logsId
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

resource worker 'Microsoft.App/containerApps@2025-01-01' = {
  name: '${name}-worker'
  location: location
  // By which azd finds it.
  tags: {
    'azd-service-name': 'worker'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: place.id
    workloadProfileName: 'Consumption'
    configuration: {
      activeRevisionsMode: 'Single'
      registries: [
        {
          server: registry.properties.loginServer
          identity: identity.id
        }
      ]
      secrets: [for each in secretNames: {
        name: toLower(each)
        keyVaultUrl: 'https://${vaultName}${environment().suffixes.keyvaultDns}/secrets/${each}'
        identity: identity.id
      }]
    }
    template: {
      containers: [
        {
          name: 'worker'
          image: exists ? running.outputs.image : standIn
          env: concat(variables, secretVariables)
          resources: {
            // The disk comes with it: about 4 GiB for 1 vCPU, the volume below included.
            cpu: json('1.0')
            memory: '2Gi'
          }
          volumeMounts: [
            {
              volumeName: 'home'
              mountPath: '/var/lib/mlgate'
            }
          ]
        }
      ]
      // As old as the replica, so that local runs are known to a worker that was started again. A
      // share would outlive the replica, and wants a key of its account.
      volumes: [
        {
          name: 'home'
          storageType: 'EmptyDir'
        }
      ]
      // What is at hand is finished, and a checkout may take long.
      terminationGracePeriodSeconds: 600
      scale: {
        // Never none: the next look at a build is a scheduled message, which counts as none until
        // it is due, and the worker's sweeper is what mends.
        minReplicas: 1
        maxReplicas: replicas
        rules: scalesWithQueue ? rules : []
      }
    }
  }
  dependsOn: [pull]
}

resource push 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(pipelinePrincipalId)) {
  name: guid(registry.id, pipelinePrincipalId, acrPush)
  scope: registry
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPush)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource pipelineRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(pipelinePrincipalId)) {
  name: guid(worker.id, pipelinePrincipalId, appContributor)
  scope: worker
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', appContributor)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}

output registryServer string = registry.properties.loginServer
