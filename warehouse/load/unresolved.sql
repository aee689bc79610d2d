-- the wave has no shared day: nothing to resolve
CREATE OR REPLACE TEMP TABLE resolved (
    delivery_id VARCHAR, department VARCHAR, business_date DATE, part VARCHAR,
    first_received_at TIMESTAMP, rows BIGINT, is_standby BOOLEAN, is_changed BOOLEAN
)
