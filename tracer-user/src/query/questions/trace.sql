SELECT time, service, host, pid, tid, effect, function, outcome, error,
    CASE WHEN path <> '' THEN path WHEN peer <> '' THEN peer ELSE sql END AS target,
    duration_ns, weight, file, line, caller, span_id, body
FROM {effects}
WHERE trace_id = :trace_id AND time_ns >= :since AND service LIKE :service AND host LIKE :host
ORDER BY time_ns, host, pid, id
