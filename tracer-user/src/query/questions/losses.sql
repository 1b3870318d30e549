SELECT service, host, event, function, sum(lost) AS lost, sum(unseen_ns) AS unseen_ns,
    count(*) AS records, min(time) AS first, max(time) AS last
FROM (
    SELECT service, host, event, function, lost, unseen_ns, time FROM {losses}
    WHERE time_ns >= :since AND service LIKE :service AND host LIKE :host
) AS missed
GROUP BY service, host, event, function
ORDER BY lost DESC, unseen_ns DESC, service, host, event, function
