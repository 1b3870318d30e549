SELECT service, effect, function, file, line, caller,
    sum(weight) AS calls, count(*) AS events, sum(failed) AS errors, sum(took) AS total_ns
FROM (
    SELECT service, effect, function, file, line, caller, weight,
        CASE WHEN outcome = 'raise' THEN weight ELSE 0 END AS failed,
        coalesce(duration_ns, 0) * weight AS took
    FROM {effects}
    WHERE time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS called
GROUP BY service, effect, function, file, line, caller
ORDER BY calls DESC, total_ns DESC, service, function, file, line, caller
