-- The same table over the Parquet file that `pytrace-ebpf replay calls.pytrace -o calls.parquet` writes:
--     duckdb -init this.sql
-- A recording is of one machine: service, host and container are ''.
CREATE VIEW effects AS SELECT
    time,
    time_ns,
    '' AS service,
    '' AS host,
    '' AS container,
    pid,
    tid,
    '' AS python,
    id,
    coalesce(parent, 0) AS parent,
    function,
    effect,
    split_part(effect, '.', 1) AS effect_group,
    outcome,
    coalesce(regexp_replace(error_type, '^builtins\.', ''), '') AS error,
    '' AS message,
    coalesce(file, '') AS file,
    coalesce(line, 0) AS line,
    coalesce(python_function, '') AS caller,
    coalesce(target_path, '') AS path,
    coalesce(target_peer, '') AS peer,
    coalesce(target_sql, '') AS sql,
    duration_ns,
    weight,
    contains(concat(args, kwargs, self, result), '{"masked":true')::INTEGER AS secret,
    coalesce(trace_id, '') AS trace_id,
    coalesce(span_id, '') AS span_id,
    '' AS body,
    '' AS uid
FROM read_parquet('calls.parquet');
