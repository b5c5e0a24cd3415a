"""What Alembic runs: the revisions, on the connection that `migrate` has made."""

from alembic import context

from crowsnest.api.schema.tables import SCHEMA, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
