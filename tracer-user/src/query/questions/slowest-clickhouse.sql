SELECT service, function, file, line, caller, sum(weight) AS calls, count(*) AS events,
    quantileExactWeighted(0.5)(ns, weight) AS p50_ns,
    quantileExactWeighted(0.99)(ns, weight) AS p99_ns,
    max(ns) AS max_ns
FROM (
    SELECT service, function, file, line, caller, weight, assumeNotNull(duration_ns) AS ns
    FROM {effects}
    WHERE duration_ns IS NOT NULL
        AND time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS timed
GROUP BY service, function, file, line, caller
ORDER BY p99_ns DESC, max_ns DESC, service, function, file, line, caller
