-- Grain: one row per name given, with the department that staging takes it for
-- Reads: given_names, chunk.department_name
-- Predecessors' names are left out: by them alone no row finds its department.
SELECT given_names.name, department_name.code
FROM given_names
LEFT JOIN chunk.department_name AS department_name
    ON normalise_text(given_names.name) = department_name.name AND department_name.is_own
