"""Gate an Azure DevOps pipeline on notebook and training runs: message to verdict."""

__version__ = "0.2.0"
