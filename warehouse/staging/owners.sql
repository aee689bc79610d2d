-- grain: one row per name given, with the department that staging takes it for
SELECT names_given.name, department_name.code
FROM names_given
LEFT JOIN department_name
    ON normalise_text(names_given.name) = department_name.name AND department_name.own
