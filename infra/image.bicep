// The image that a container app runs, so that making its resources again leaves the code alone.

param appName string
param exists bool

resource app 'Microsoft.App/containerApps@2025-01-01' existing = if (exists) {
  name: appName
}

output image string = exists ? app!.properties.template.containers[0].image : ''
