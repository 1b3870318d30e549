SELECT service, host, kind, what, file, line, caller,
    sum(weight) AS calls, count(*) AS events, min(time) AS first, max(time) AS last
FROM (
    SELECT service, host, kind, file, line, caller, time, weight,
        CASE WHEN kind = 'secret file' THEN path ELSE function END AS what
    FROM (
        SELECT service, host, file, line, caller, time, weight, path, function,
            CASE
                WHEN secret = 1 THEN 'masked value'
                WHEN path LIKE '%.pem' OR path LIKE '%.key' OR path LIKE '%.p12' OR path LIKE '%.pfx'
                    OR path LIKE '%.jks' OR path LIKE '%.keytab' OR path LIKE '%.kdbx'
                    OR path LIKE '%/.ssh/%' OR path LIKE '%/.gnupg/%' OR path LIKE '%/.aws/credentials'
                    OR path LIKE '%/.docker/config.json' OR path LIKE '%/.kube/config' OR path LIKE '%/.netrc'
                    OR path LIKE '%/.pgpass' OR path LIKE '%/.pypirc' OR path LIKE '%/.git-credentials'
                    OR path LIKE '%/.env' OR path LIKE '/run/secrets/%' OR path LIKE '/var/run/secrets/%'
                    OR path LIKE '/etc/ssl/private/%' OR path LIKE '/etc/shadow%' OR path LIKE '/proc/%/environ'
                    THEN 'secret file'
                WHEN effect IN ('env.read', 'env.set', 'env.unset') THEN 'environment'
                ELSE ''
            END AS kind
        FROM {effects}
        WHERE time_ns >= :since AND service LIKE :service AND host LIKE :host
    ) AS judged
    WHERE kind <> ''
) AS used
GROUP BY service, host, kind, what, file, line, caller
ORDER BY service, host, kind, what, file, line, caller
