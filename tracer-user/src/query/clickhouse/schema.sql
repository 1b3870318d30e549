-- ClickHouse of today (tried: 26.9), behind an OpenTelemetry Collector.
--
--     pytrace-ebpf query --schema clickhouse | clickhouse-client --multiquery
--
-- `otel_logs` is the table that the Collector's ClickHouse exporter writes (it makes it itself unless
-- `create_schema: false`); the two views below take what is of this tool, as it comes in, into `effects` and `losses`.
--
-- Over several shards: all of this on each, and in a database that questions are asked of
--     CREATE TABLE fleet.effects AS default.effects ENGINE = Distributed('CLUSTER', 'default', 'effects');
--     CREATE TABLE fleet.losses AS default.losses ENGINE = Distributed('CLUSTER', 'default', 'losses');
-- (`--on http://HOST:8123/fleet`).
CREATE TABLE IF NOT EXISTS otel_logs (
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TimestampTime DateTime DEFAULT toDateTime(Timestamp),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    TraceFlags UInt8,
    SeverityText LowCardinality(String) CODEC(ZSTD(1)),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ResourceSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeSchemaUrl LowCardinality(String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion LowCardinality(String) CODEC(ZSTD(1)),
    ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    EventName String CODEC(ZSTD(1))
) ENGINE = MergeTree
PARTITION BY toDate(TimestampTime)
ORDER BY (ServiceName, TimestampTime, Timestamp);

-- One row a call. Calls are counted by sum(weight). A record that came twice (its acknowledgement was lost) has the same
-- key twice, and is one row after a merge, or with FINAL, which the named questions use. For old rows to go by themselves:
--     ALTER TABLE effects MODIFY TTL toDateTime(time) + INTERVAL 30 DAY;
CREATE TABLE IF NOT EXISTS effects (
    time DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    time_ns UInt64 CODEC(Delta(8), ZSTD(1)),
    service LowCardinality(String),
    host LowCardinality(String),
    container LowCardinality(String),
    pid UInt32,
    tid UInt32,
    python LowCardinality(String),
    id UInt64 CODEC(Delta(8), ZSTD(1)),
    parent UInt64 CODEC(ZSTD(1)),
    function LowCardinality(String),
    effect LowCardinality(String),
    effect_group LowCardinality(String),
    outcome LowCardinality(String),
    error LowCardinality(String),
    message String CODEC(ZSTD(1)),
    file LowCardinality(String),
    line UInt32,
    caller LowCardinality(String),
    path String CODEC(ZSTD(1)),
    peer String CODEC(ZSTD(1)),
    sql String CODEC(ZSTD(1)),
    duration_ns Nullable(UInt64) CODEC(ZSTD(1)),
    weight UInt64,
    secret UInt8,
    trace_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    body String CODEC(ZSTD(1)),
    uid String CODEC(ZSTD(1)),
    INDEX effects_time time TYPE minmax GRANULARITY 1,
    INDEX effects_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(time_ns, 86400000000000)
ORDER BY (service, host, time_ns, container, pid, tid, id, uid);

CREATE MATERIALIZED VIEW IF NOT EXISTS effects_of_logs TO effects AS
SELECT
    toDateTime64(Timestamp, 6, 'UTC') AS time,
    toUInt64(toUnixTimestamp64Nano(Timestamp)) AS time_ns,
    multiIf(
        ServiceName <> '', ServiceName,
        ResourceAttributes['process.executable.path'] = '', 'unknown_service',
        concat('unknown_service:', splitByChar('/', ResourceAttributes['process.executable.path'])[-1])
    ) AS service,
    ResourceAttributes['host.name'] AS host,
    ResourceAttributes['container.id'] AS container,
    toUInt32OrZero(if(
        LogAttributes['process.pid'] <> '', LogAttributes['process.pid'], ResourceAttributes['process.pid']
    )) AS pid,
    toUInt32OrZero(LogAttributes['thread.id']) AS tid,
    ResourceAttributes['process.runtime.version'] AS python,
    toUInt64OrZero(LogAttributes['pytrace.id']) AS id,
    toUInt64OrZero(LogAttributes['pytrace.parent']) AS parent,
    LogAttributes['pytrace.function'] AS function,
    LogAttributes['pytrace.effect'] AS effect,
    splitByChar('.', LogAttributes['pytrace.effect'])[1] AS effect_group,
    multiIf(
        LogAttributes['pytrace.outcome'] <> '', LogAttributes['pytrace.outcome'],
        LogAttributes['pytrace.unobserved'] <> '', 'unobserved',
        SeverityNumber >= 13, 'raise',
        'return'
    ) AS outcome,
    if(
        LogAttributes['exception.type'] <> '', LogAttributes['exception.type'], LogAttributes['error.type']
    ) AS error,
    LogAttributes['exception.message'] AS message,
    LogAttributes['code.file.path'] AS file,
    toUInt32OrZero(LogAttributes['code.line.number']) AS line,
    LogAttributes['code.function.name'] AS caller,
    LogAttributes['file.path'] AS path,
    multiIf(
        LogAttributes['network.peer.address'] <> '',
        concat(
            if(
                LogAttributes['network.peer.port'] <> '' AND position(LogAttributes['network.peer.address'], ':') > 0,
                concat('[', LogAttributes['network.peer.address'], ']'),
                LogAttributes['network.peer.address']
            ),
            if(LogAttributes['network.peer.port'] <> '', concat(':', LogAttributes['network.peer.port']), '')
        ),
        LogAttributes['pytrace.target.peer'] <> '', LogAttributes['pytrace.target.peer'],
        LogAttributes['server.address'] <> '',
        concat(
            if(
                LogAttributes['server.port'] <> '' AND position(LogAttributes['server.address'], ':') > 0,
                concat('[', LogAttributes['server.address'], ']'),
                LogAttributes['server.address']
            ),
            if(LogAttributes['server.port'] <> '', concat(':', LogAttributes['server.port']), '')
        ),
        ''
    ) AS peer,
    LogAttributes['db.query.text'] AS sql,
    toUInt64OrNull(LogAttributes['pytrace.duration_ns']) AS duration_ns,
    if(LogAttributes['pytrace.weight'] <> '', toUInt64OrZero(LogAttributes['pytrace.weight']), 1) AS weight,
    toUInt8(
        LogAttributes['pytrace.secret'] IN ('true', '1')
        OR position(replaceAll(LogAttributes['pytrace.call'], '"kwargs":{"masked":true', ''), '{"masked":true') > 0
        OR position(replaceAll(LogAttributes['pytrace.result'], '"kwargs":{"masked":true', ''), '{"masked":true') > 0
    ) AS secret,
    TraceId AS trace_id,
    SpanId AS span_id,
    Body AS body,
    LogAttributes['log.record.uid'] AS uid
FROM otel_logs
WHERE LogAttributes['event.name'] = 'pytrace.call';

-- What was not seen: events that were lost, functions of which only moments were seen.
CREATE TABLE IF NOT EXISTS losses (
    time DateTime64(6, 'UTC'),
    time_ns UInt64,
    service LowCardinality(String),
    host LowCardinality(String),
    container LowCardinality(String),
    pid UInt32,
    event LowCardinality(String),
    function LowCardinality(String),
    lost UInt64,
    unseen_ns UInt64,
    uid String
) ENGINE = ReplacingMergeTree
PARTITION BY intDiv(time_ns, 86400000000000)
ORDER BY (service, host, time_ns, container, pid, event, function, lost, unseen_ns, uid);

CREATE MATERIALIZED VIEW IF NOT EXISTS losses_of_logs TO losses AS
SELECT
    toDateTime64(Timestamp, 6, 'UTC') AS time,
    toUInt64(toUnixTimestamp64Nano(Timestamp)) AS time_ns,
    multiIf(
        ServiceName <> '', ServiceName,
        ResourceAttributes['process.executable.path'] = '', 'unknown_service',
        concat('unknown_service:', splitByChar('/', ResourceAttributes['process.executable.path'])[-1])
    ) AS service,
    ResourceAttributes['host.name'] AS host,
    ResourceAttributes['container.id'] AS container,
    toUInt32OrZero(if(
        LogAttributes['process.pid'] <> '', LogAttributes['process.pid'], ResourceAttributes['process.pid']
    )) AS pid,
    LogAttributes['event.name'] AS event,
    LogAttributes['pytrace.function'] AS function,
    toUInt64OrZero(LogAttributes['pytrace.lost']) AS lost,
    toUInt64OrZero(LogAttributes['pytrace.unseen_ns']) AS unseen_ns,
    LogAttributes['log.record.uid'] AS uid
FROM otel_logs
WHERE startsWith(LogAttributes['event.name'], 'pytrace.') AND LogAttributes['event.name'] <> 'pytrace.call'
    AND (
        toUInt64OrZero(LogAttributes['pytrace.lost']) > 0
        OR toUInt64OrZero(LogAttributes['pytrace.unseen_ns']) > 0
    );
