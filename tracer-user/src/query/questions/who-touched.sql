SELECT service, host, pid, function, file, line, caller, target,
    sum(weight) AS calls, count(*) AS events, sum(failed) AS errors, min(time) AS first, max(time) AS last
FROM (
    SELECT service, host, pid, function, file, line, caller, time, weight,
        CASE WHEN :path <> '' AND path LIKE :path THEN path ELSE peer END AS target,
        CASE WHEN outcome = 'raise' THEN weight ELSE 0 END AS failed
    FROM {effects}
    WHERE ((:path <> '' AND path LIKE :path) OR (:peer <> '' AND peer LIKE :peer))
        AND time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS touched
GROUP BY service, host, pid, function, file, line, caller, target
ORDER BY calls DESC, service, host, pid, function, file, line, caller, target
