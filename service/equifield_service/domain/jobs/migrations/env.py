"""How Alembic runs: on the connection that it is handed, in the transaction that is open there."""

from alembic import context

from equifield_service.domain.jobs.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
