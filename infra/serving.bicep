// `mlgate serve` as a container app, beside what main.bicep made of the same name: its registry, its
// model store and its logs. docs/deploy.md goes through it.
//
// With `blue`, each version has a revision of its own, and traffic is given to revisions by name: a
// canary is a weight, and so is going back. Without it there is one revision, which follows the
// model's log and switches by itself.

@description('That of main.bicep.')
@minLength(3)
@maxLength(11)
param name string

param location string = resourceGroup().location

@description('One for each model: lower-case letters, digits and dashes, 32 at most.')
@maxLength(32)
param appName string = '${name}-serving'

@description('The image in the registry, with its tag: mlgate-serving:1.')
param image string

param model string

@description('The id of the version that serves; -2, say, behind it where the same version is to run in another image. Empty follows the model\'s log instead.')
param blue string = ''

@description('The id of the version that is tried beside it.')
param green string = ''

@description('How many percent of the requests green gets; blue gets the others.')
@minValue(0)
@maxValue(100)
param weight int = 0

@description('Address ranges that may call, such as 203.0.113.0/24. None: only apps of the same environment.')
param callers string[] = []

@minValue(1)
param maximumReplicas int = 3

@description('The object id of the identity behind the pipeline\'s service connection.')
param pipelinePrincipalId string = ''

var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d' // AcrPull
var appContributor = '358470bc-b998-42bd-ab17-a7e34c199c0f' // Container Apps Contributor
var blobReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1' // Storage Blob Data Reader
var port = 5000

// As main.bicep has them.
var suffix = uniqueString(resourceGroup().id, name)

// A deployment makes one revision at most: that of the newest version.
var newest = empty(green) ? blue : green

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' existing = {
  name: '${name}${suffix}'
}

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: take('${name}data${suffix}', 24)

  resource blobs 'blobServices' existing = {
    name: 'default'

    resource models 'containers' existing = {
      name: 'models'
    }
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' existing = {
  name: '${name}-logs'
}

// A model is code. So its identity is its own, and may read models and pull the image, no more.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: appName
  location: location
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

resource read 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account::blobs::models.id, identity.id, blobReader)
  scope: account::blobs::models
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobReader)
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

// Apart from the worker's, whose network a model has no business in.
resource place 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: '${name}-serving-place'
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
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

resource app 'Microsoft.App/containerApps@2025-01-01' = {
  name: appName
  location: location
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
      activeRevisionsMode: empty(blue) ? 'Single' : 'Multiple'
      registries: [
        {
          server: registry.properties.loginServer
          identity: identity.id
        }
      ]
      ingress: {
        // The server does not ask its callers who they are.
        external: !empty(callers)
        ipSecurityRestrictions: [for (each, index) in callers: {
          name: 'caller${index}'
          ipAddressRange: each
          action: 'Allow'
        }]
        targetPort: port
        allowInsecure: false
        // By name alone: one that means the latest revision would send requests to a version that
        // nobody has tried there. With one revision there is nothing to share out.
        traffic: empty(blue) ? null : empty(green) ? [
          {
            revisionName: '${appName}--v${blue}'
            label: 'blue'
            weight: 100
          }
        ] : [
          {
            revisionName: '${appName}--v${blue}'
            label: 'blue'
            weight: 100 - weight
          }
          {
            revisionName: '${appName}--v${green}'
            label: 'green'
            weight: weight
          }
        ]
      }
    }
    template: {
      // The name of a revision begins with a letter.
      revisionSuffix: empty(blue) ? '' : 'v${newest}'
      containers: [
        {
          name: 'serving'
          image: '${registry.properties.loginServer}/${image}'
          env: [
            {
              name: 'MLGATE_MODEL'
              value: empty(blue) ? model : '${model}@${split(newest, '-')[0]}'
            }
            {
              name: 'MLGATE_MODELS'
              value: '${account.properties.primaryEndpoints.blob}models'
            }
            {
              name: 'AZURE_CLIENT_ID'
              value: identity.properties.clientId
            }
          ]
          resources: {
            cpu: json('1.0')
            memory: '2Gi'
          }
          probes: [
            {
              // The server listens before it loads, some seconds after its start. Five minutes, in
              // case its store has an outage: Azure allows 10 failures.
              type: 'Startup'
              httpGet: {
                path: '/live'
                port: port
              }
              initialDelaySeconds: 10
              periodSeconds: 30
              failureThreshold: 10
            }
            {
              type: 'Liveness'
              httpGet: {
                path: '/live'
                port: port
              }
              periodSeconds: 10
              failureThreshold: 3
            }
            {
              // No request before the version has loaded and answered its example.
              type: 'Readiness'
              httpGet: {
                path: '/ping'
                port: port
              }
              periodSeconds: 5
              failureThreshold: 2
            }
          ]
        }
      ]
      // Longer than the server takes to answer what it was asked.
      terminationGracePeriodSeconds: 60
      scale: {
        minReplicas: 1
        maxReplicas: maximumReplicas
        rules: [
          {
            name: 'http'
            http: {
              metadata: {
                concurrentRequests: '16' // a model answers one after the other
              }
            }
          }
        ]
      }
    }
  }
  dependsOn: [pull, read]
}

resource pipelineRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(pipelinePrincipalId)) {
  name: guid(app.id, pipelinePrincipalId, appContributor)
  scope: app
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', appContributor)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}

output appName string = app.name
output fqdn string = app.properties.configuration.ingress.fqdn
output domain string = place.properties.defaultDomain
