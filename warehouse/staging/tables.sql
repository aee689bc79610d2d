-- the chunk's own tables besides staged, landed and department_name
CREATE TABLE faulted (
    _id BIGINT,
    _delivery INTEGER,
    _sheet VARCHAR,
    _row BIGINT,
    fault VARCHAR,
    fault_value VARCHAR,
    expected VARCHAR
);
CREATE TABLE flagged (_id BIGINT, rules INTEGER[], texts VARCHAR[]);
CREATE TABLE failure (_id BIGINT, rule INTEGER, value VARCHAR);
