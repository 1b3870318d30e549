SELECT service, effect, function, target, file, line, caller,
    sum(weight) AS calls, count(*) AS events, min(time) AS first, max(time) AS last
FROM (
    SELECT service, effect, function, file, line, caller, time, time_ns, weight,
        CASE WHEN path <> '' THEN path WHEN peer <> '' THEN peer ELSE sql END AS target
    FROM {effects}
    WHERE service LIKE :service AND host LIKE :host
) AS acted
GROUP BY service, effect, function, target, file, line, caller
HAVING min(time_ns) >= :since
ORDER BY first, service, function, target, file, line, caller
