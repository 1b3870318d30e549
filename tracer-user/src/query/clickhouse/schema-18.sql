-- ClickHouse 18.16, as Debian 12 has it: no DateTime64, no Map, no codecs. Times are Unix time in nanoseconds, attributes two
-- arrays, of keys and of values. The Collector's exporter cannot write to so old a server; what does, inserts into
-- `otel_logs` (JSONEachRow takes `"LogAttributes.Key": [...], "LogAttributes.Value": [...]`).
--
-- Over several shards: all of this on each, and in a database that questions are asked of
--     CREATE TABLE fleet.effects AS default.effects ENGINE = Distributed('CLUSTER', 'default', 'effects');
--     CREATE TABLE fleet.losses AS default.losses ENGINE = Distributed('CLUSTER', 'default', 'losses');
-- (`--on http://HOST:8123/fleet`).
CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp UInt64,
    TimestampTime DateTime DEFAULT toDateTime(intDiv(Timestamp, 1000000000)),
    TraceId String,
    SpanId String,
    TraceFlags UInt8,
    SeverityText String,
    SeverityNumber UInt8,
    ServiceName String,
    Body String,
    ResourceSchemaUrl String,
    ResourceAttributes Nested(Key String, Value String),
    ScopeSchemaUrl String,
    ScopeName String,
    ScopeVersion String,
    ScopeAttributes Nested(Key String, Value String),
    LogAttributes Nested(Key String, Value String),
    EventName String
) ENGINE = MergeTree
PARTITION BY toDate(TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp);

-- One row a call. Calls are counted by sum(weight). A record that came twice (its acknowledgement was lost) has the same
-- key twice, and is one row after a merge, or with FINAL, which the named questions use.
CREATE TABLE IF NOT EXISTS effects (
    time String,
    time_ns UInt64,
    service String,
    host String,
    container String,
    pid UInt32,
    tid UInt32,
    python String,
    id UInt64,
    parent UInt64,
    function String,
    effect String,
    effect_group String,
    outcome String,
    error String,
    message String,
    file String,
    line UInt32,
    caller String,
    path String,
    peer String,
    sql String,
    duration_ns Nullable(UInt64),
    weight UInt64,
    secret UInt8,
    trace_id String,
    span_id String,
    body String,
    uid String
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(time_ns, 86400000000000)
ORDER BY (service, host, time_ns, container, pid, tid, id, uid);

CREATE MATERIALIZED VIEW IF NOT EXISTS effects_of_logs TO effects AS
SELECT
    concat(
        toString(toDateTime(intDiv(Timestamp, 1000000000), 'UTC')), '.',
        substring(toString(1000000 + intDiv(Timestamp, 1000) % 1000000), 2)
    ) AS time,
    Timestamp AS time_ns,
    multiIf(
        ServiceName <> '', ServiceName,
        ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.executable.path')] = '', 'unknown_service',
        concat('unknown_service:', splitByChar('/', ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.executable.path')])[-1])
    ) AS service,
    ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'host.name')] AS host,
    ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'container.id')] AS container,
    toUInt32OrZero(if(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'process.pid')] <> '', LogAttributes.Value[indexOf(LogAttributes.Key, 'process.pid')], ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.pid')]
    )) AS pid,
    toUInt32OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'thread.id')]) AS tid,
    ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.runtime.version')] AS python,
    toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.id')]) AS id,
    toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.parent')]) AS parent,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.function')] AS function,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.effect')] AS effect,
    splitByChar('.', LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.effect')])[1] AS effect_group,
    multiIf(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.outcome')] <> '', LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.outcome')],
        LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.unobserved')] <> '', 'unobserved',
        SeverityNumber >= 13, 'raise',
        'return'
    ) AS outcome,
    if(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'exception.type')] <> '', LogAttributes.Value[indexOf(LogAttributes.Key, 'exception.type')], LogAttributes.Value[indexOf(LogAttributes.Key, 'error.type')]
    ) AS error,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'exception.message')] AS message,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'code.file.path')] AS file,
    toUInt32OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'code.line.number')]) AS line,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'code.function.name')] AS caller,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'file.path')] AS path,
    multiIf(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.address')] <> '',
        concat(
            if(
                LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.port')] <> '' AND position(LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.address')], ':') > 0,
                concat('[', LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.address')], ']'),
                LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.address')]
            ),
            if(LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.port')] <> '', concat(':', LogAttributes.Value[indexOf(LogAttributes.Key, 'network.peer.port')]), '')
        ),
        LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.target.peer')] <> '', LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.target.peer')],
        LogAttributes.Value[indexOf(LogAttributes.Key, 'server.address')] <> '',
        concat(
            if(
                LogAttributes.Value[indexOf(LogAttributes.Key, 'server.port')] <> '' AND position(LogAttributes.Value[indexOf(LogAttributes.Key, 'server.address')], ':') > 0,
                concat('[', LogAttributes.Value[indexOf(LogAttributes.Key, 'server.address')], ']'),
                LogAttributes.Value[indexOf(LogAttributes.Key, 'server.address')]
            ),
            if(LogAttributes.Value[indexOf(LogAttributes.Key, 'server.port')] <> '', concat(':', LogAttributes.Value[indexOf(LogAttributes.Key, 'server.port')]), '')
        ),
        ''
    ) AS peer,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'db.query.text')] AS sql,
    if(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.duration_ns')] <> '', toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.duration_ns')]), NULL) AS duration_ns,
    if(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.weight')] <> '', toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.weight')]), toUInt64(1)) AS weight,
    toUInt8(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.secret')] IN ('true', '1')
        OR position(replaceAll(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.call')], '"kwargs":{"masked":true', ''), '{"masked":true') > 0
        OR position(replaceAll(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.result')], '"kwargs":{"masked":true', ''), '{"masked":true') > 0
    ) AS secret,
    TraceId AS trace_id,
    SpanId AS span_id,
    Body AS body,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'log.record.uid')] AS uid
FROM otel_logs
WHERE LogAttributes.Value[indexOf(LogAttributes.Key, 'event.name')] = 'pytrace.call';

-- What was not seen: events that were lost, functions of which only moments were seen.
CREATE TABLE IF NOT EXISTS losses (
    time String,
    time_ns UInt64,
    service String,
    host String,
    container String,
    pid UInt32,
    event String,
    function String,
    lost UInt64,
    unseen_ns UInt64,
    uid String
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(time_ns, 86400000000000)
ORDER BY (service, host, time_ns, container, pid, event, function, lost, unseen_ns, uid);

CREATE MATERIALIZED VIEW IF NOT EXISTS losses_of_logs TO losses AS
SELECT
    concat(
        toString(toDateTime(intDiv(Timestamp, 1000000000), 'UTC')), '.',
        substring(toString(1000000 + intDiv(Timestamp, 1000) % 1000000), 2)
    ) AS time,
    Timestamp AS time_ns,
    multiIf(
        ServiceName <> '', ServiceName,
        ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.executable.path')] = '', 'unknown_service',
        concat('unknown_service:', splitByChar('/', ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.executable.path')])[-1])
    ) AS service,
    ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'host.name')] AS host,
    ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'container.id')] AS container,
    toUInt32OrZero(if(
        LogAttributes.Value[indexOf(LogAttributes.Key, 'process.pid')] <> '', LogAttributes.Value[indexOf(LogAttributes.Key, 'process.pid')], ResourceAttributes.Value[indexOf(ResourceAttributes.Key, 'process.pid')]
    )) AS pid,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'event.name')] AS event,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.function')] AS function,
    toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.lost')]) AS lost,
    toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.unseen_ns')]) AS unseen_ns,
    LogAttributes.Value[indexOf(LogAttributes.Key, 'log.record.uid')] AS uid
FROM otel_logs
WHERE startsWith(LogAttributes.Value[indexOf(LogAttributes.Key, 'event.name')], 'pytrace.') AND LogAttributes.Value[indexOf(LogAttributes.Key, 'event.name')] <> 'pytrace.call'
    AND (
        toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.lost')]) > 0
        OR toUInt64OrZero(LogAttributes.Value[indexOf(LogAttributes.Key, 'pytrace.unseen_ns')]) > 0
    );
