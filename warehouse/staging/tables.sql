-- Grain: the tables of a chunk, empty; deliveries are numbered from 0 (`_delivery`), rows by `_id`
-- Reads: nothing
-- Writes: chunk.staged, chunk.faulted, chunk.failure, chunk.department_name, chunk.last_unit
-- chunk.landed and chunk.rule are written by pipelines/staging/chunk.py, chunk.repeated by
-- row_failures.sql, chunk.fate by fates.sql. Columns of ours start with `_` wherever columns of a
-- contract stand beside them, so that the two can never be the same.
CREATE SCHEMA chunk;
-- One row per raw row that can be mapped to columns and is no noise. `_stray_department` and
-- `_stray_date`: what its own columns say when that is another partition than its delivery's.
CREATE TABLE chunk.staged (
    _id BIGINT,
    _delivery INTEGER,
    _sheet VARCHAR,
    _row BIGINT,
    _department VARCHAR,
    _business_date DATE,
    _stray_department VARCHAR,
    _stray_date DATE,
    ${staged_columns}
);
-- One row per raw row that cannot be mapped to columns: where it stands and why, none of its text.
CREATE TABLE chunk.faulted (
    _id BIGINT,
    _delivery INTEGER,
    _sheet VARCHAR,
    _row BIGINT,
    fault VARCHAR,
    fault_value VARCHAR,
    expected VARCHAR
);
-- One row per staged row and rule that it fails, with the text that it shows for it.
CREATE TABLE chunk.failure (_id BIGINT, rule INTEGER, value VARCHAR);
-- One row per text that names a department and the department it names. `is_own`: it is that
-- department's name, and not a predecessor's. Filled where a column of the contract says whose
-- rows are.
CREATE TABLE chunk.department_name (name VARCHAR, code VARCHAR, is_own BOOLEAN);
-- The last unit that the rows of a sheet state so far (`unit_from`): a blank unit of the next flush
-- stands below it.
CREATE TABLE chunk.last_unit (
    _delivery INTEGER,
    sheet VARCHAR,
    name VARCHAR,
    unit VARCHAR,
    PRIMARY KEY (_delivery, sheet, name)
);
