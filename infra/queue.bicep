// The queue, and who may send to it and receive from it.

param namespaceName string
param queueName string
param location string
param hostPrincipalId string
param hostReadsLength bool
param pipelinePrincipalId string

var receiver = '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0' // Azure Service Bus Data Receiver
var sender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39' // Azure Service Bus Data Sender
var owner = '090c5cfd-751d-490a-894a-3ce6f1109419' // Azure Service Bus Data Owner
var hostRoles = hostReadsLength ? [owner] : [receiver, sender]

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: namespaceName
  location: location
  sku: {
    name: 'Standard'
    tier: 'Standard'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }

  resource queue 'queues' = {
    name: queueName
    properties: {
      // The longest there is. A step of a build takes seconds; a checkout may take minutes.
      lockDuration: 'PT5M'
      // A function that fails gets its message back at once, so these can be gone within seconds;
      // the sweeper then finds the start among the dead letters.
      maxDeliveryCount: 10
      deadLetteringOnMessageExpiration: true
      // A start that nobody took for so long has no pipeline that waits, and holds its token.
      defaultMessageTimeToLive: 'P3D'
      requiresDuplicateDetection: true
      duplicateDetectionHistoryTimeWindow: 'PT10M'
    }
  }
}

resource hostRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in hostRoles: {
  name: guid(namespace::queue.id, hostPrincipalId, role)
  scope: namespace::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}]

resource pipelineRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(pipelinePrincipalId)) {
  name: guid(namespace::queue.id, pipelinePrincipalId, sender)
  scope: namespace::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sender)
    principalId: pipelinePrincipalId
    principalType: 'ServicePrincipal'
  }
}

output namespaceName string = namespace.name
output endpoint string = '${namespace.name}.servicebus.windows.net'
