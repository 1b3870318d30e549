SELECT service, error, function, file, line, caller,
    sum(weight) AS calls, count(*) AS events, min(time) AS first, max(time) AS last, max(message) AS example
FROM {effects}
WHERE outcome = 'raise'
    AND time_ns >= :since AND service LIKE :service AND host LIKE :host
GROUP BY service, error, function, file, line, caller
ORDER BY calls DESC, service, error, function, file, line, caller
