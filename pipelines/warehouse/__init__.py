"""Read and write the warehouse: the only room that opens it.

connection opens it for one writer · tables follow contracts · loading takes in deliveries, a step a
module · metrics are compiled from metrics.yaml · ledger, feeds and purges hold what is known of
deliveries · pace is computed for and by tracking · publish makes read-only generations.
"""
