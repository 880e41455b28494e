// Logs of the host, written with its identity.

param name string
param location string
param hostPrincipalId string
param sweeperIsAFunction bool
param alertEmail string

var publisher = '3913510d-42f4-4e42-8a64-420c390055eb' // Monitoring Metrics Publisher

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: '${name}-logs'
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
    features: {
      disableLocalAuth: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${name}-insights'
  location: location
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: logs.id
    DisableLocalAuth: true
  }
}

resource hostRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, hostPrincipalId, publisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', publisher)
    principalId: hostPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertEmail)) {
  name: '${name}-people'
  location: 'global'
  properties: {
    groupShortName: take(name, 12)
    enabled: true
    emailReceivers: [
      {
        name: 'people'
        emailAddress: alertEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

// Timers were seen to stop for good after a deployment (Azure/azure-functions-host#11828), and the
// sweeper, which finds builds whose look was lost, is one. A worker sweeps by itself.
resource sweeperStopped 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = if (sweeperIsAFunction) {
  name: '${name}-sweeper-stopped'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: SweepBuildsFunctionApp has not run for 10 minutes'
    description: 'Builds whose look was lost wait until it runs again: restart the function app.'
    severity: 1
    enabled: true
    scopes: [insights.id]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT10M'
    criteria: {
      allOf: [
        {
          query: 'requests | where name == "SweepBuildsFunctionApp"'
          timeAggregation: 'Count'
          operator: 'LessThan'
          threshold: 1
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    actions: {
      actionGroups: empty(alertEmail) ? [] : [people.id]
    }
  }
}

// Where to send, not a right to: without the role above nothing is taken.
output insightsConnection string = insights.properties.ConnectionString
output logsId string = logs.id
