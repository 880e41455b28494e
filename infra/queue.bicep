// The queue, and who may send to it and receive from it.

param namespaceName string
param queueName string
param location string
param hostPrincipalId string
param pipelinePrincipalId string

var sender = '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39' // Azure Service Bus Data Sender
var owner = '090c5cfd-751d-490a-894a-3ce6f1109419' // Azure Service Bus Data Owner

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
      // A message whose host has died comes back after so long, and its step waits as long. A host
      // that lives renews the lock.
      lockDuration: 'PT1M'
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

// What wakes a host asks for the queue's length with the host's identity, and only the owner of the
// namespace's data is sure to get it: Azure/azure-functions-host#8261. There is nothing else in the
// namespace. Receiving and sending are part of the role.
resource hostRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(namespace.id, hostPrincipalId, owner)
  scope: namespace
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', owner)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}

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
