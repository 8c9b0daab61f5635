"""Dynamics 365 Sales through the Dataverse Web API."""
