SELECT service, host, peer, effect_group,
    sum(weight) AS calls, count(*) AS events, sum(failed) AS errors, min(time) AS first, max(time) AS last
FROM (
    SELECT service, host, peer, effect_group, time, weight,
        CASE WHEN outcome = 'raise' THEN weight ELSE 0 END AS failed
    FROM {effects}
    WHERE peer <> '' AND time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS talked
GROUP BY service, host, peer, effect_group
ORDER BY calls DESC, service, host, peer, effect_group
