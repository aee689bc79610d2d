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
-- the last unit that the rows of a sheet said so far: blanks of the next flush stand below it
CREATE TABLE unit_above (
    _delivery INTEGER,
    sheet VARCHAR,
    name VARCHAR,
    unit VARCHAR,
    PRIMARY KEY (_delivery, sheet, name)
);
