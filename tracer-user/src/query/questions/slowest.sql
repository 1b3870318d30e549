SELECT service, function, file, line, caller, max(total) AS calls, count(*) AS events,
    min(CASE WHEN up_to * 100 >= total * 50 THEN duration_ns END) AS p50_ns,
    min(CASE WHEN up_to * 100 >= total * 99 THEN duration_ns END) AS p99_ns,
    max(duration_ns) AS max_ns
FROM (
    SELECT service, function, file, line, caller, duration_ns,
        sum(weight) OVER (
            PARTITION BY service, function, file, line, caller ORDER BY duration_ns
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS up_to,
        sum(weight) OVER (PARTITION BY service, function, file, line, caller) AS total
    FROM {effects}
    WHERE duration_ns IS NOT NULL
        AND time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS timed
GROUP BY service, function, file, line, caller
ORDER BY p99_ns DESC, max_ns DESC, service, function, file, line, caller
