"""Alembic's entry: it works on the connection, and in the transaction, that the store has opened."""

from alembic import context

from crmbridge.state.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
