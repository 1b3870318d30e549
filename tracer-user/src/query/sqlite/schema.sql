-- Effects, one row a call, as `pytrace-ebpf query` makes them of a recording, of a spool and of OTLP/JSON lines.
-- Texts that are not known are '', numbers 0. Calls are counted by sum(weight): where only some of many calls were
-- recorded (--sample), each stands for `weight` of them.
CREATE TABLE effects (
    time TEXT NOT NULL,            -- '2026-03-01 12:01:07.412345', UTC
    time_ns INTEGER NOT NULL,      -- Unix time
    service TEXT NOT NULL,
    host TEXT NOT NULL,
    container TEXT NOT NULL,
    pid INTEGER NOT NULL,
    tid INTEGER NOT NULL,
    python TEXT NOT NULL,          -- '3.12.1'
    id INTEGER NOT NULL,           -- in the order in which calls of a trace began
    parent INTEGER NOT NULL,       -- the traced call that it is inside of
    function TEXT NOT NULL,        -- 'posix.open'
    effect TEXT NOT NULL,          -- 'file.open'
    effect_group TEXT NOT NULL,    -- 'file'
    outcome TEXT NOT NULL,         -- 'return', 'raise', 'yield', 'unobserved'
    error TEXT NOT NULL,           -- 'FileNotFoundError'
    message TEXT NOT NULL,
    file TEXT NOT NULL,            -- of the Python code that called it
    line INTEGER NOT NULL,
    caller TEXT NOT NULL,          -- the Python function
    path TEXT NOT NULL,
    peer TEXT NOT NULL,            -- '127.0.0.1:5432'
    sql TEXT NOT NULL,
    duration_ns INTEGER,
    weight INTEGER NOT NULL,
    secret INTEGER NOT NULL,       -- 1: a value was masked
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    body TEXT NOT NULL,
    uid TEXT NOT NULL
) STRICT;
-- A record that was sent twice is one.
CREATE UNIQUE INDEX effects_uid ON effects (uid) WHERE uid <> '';

-- What was not seen: events that were lost, functions of which only moments were seen.
CREATE TABLE losses (
    time TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    service TEXT NOT NULL,
    host TEXT NOT NULL,
    container TEXT NOT NULL,
    pid INTEGER NOT NULL,
    event TEXT NOT NULL,           -- 'pytrace.loss', 'pytrace.summary', 'pytrace.process.window'
    function TEXT NOT NULL,
    lost INTEGER NOT NULL,         -- events
    unseen_ns INTEGER NOT NULL,    -- nothing of the function was seen for so long
    uid TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX losses_uid ON losses (uid) WHERE uid <> '';
