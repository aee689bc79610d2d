"""Alembic's entry: runs the migrations of one store over the connection that it is handed."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=False, transaction_per_migration=False)
context.run_migrations()
