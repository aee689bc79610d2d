"""Load staged deliveries into the warehouse, a module a step.

A wave (deliveries of which no two have the same department and day) is one transaction:

1. `incoming` lists the partitions that the wave brings and which of them come too late.
2. `totals` holds running totals to those that stand; what breaks may be held back.
3. `drift` compares the deliveries with their departments' past.
4. `load` exchanges the partitions' rows (`partitions.sql`).
5. `shared_days` decides between the parts of a day, only where a day has several.
6. `entries` writes the ledger.
7. `pipelines.warehouse.metrics` computes what the touched days changed.

The steps hand each other temporary tables. Their names begin with an underscore, and so do columns
that join those of a source: names in contracts begin with a letter, so that none can collide. They
are temporary tables because nothing else works inside the transaction: DuckDB writes to one
database in a transaction, so that an attached one is refused, and it does not commit a table that
was filled and dropped in the same transaction. A schema does not help either, for temporary tables
all live in one that is called `main`, too, and is searched first. Temporary tables vanish with the
process, are never published, and need nothing that DuckLake lacks.
"""
