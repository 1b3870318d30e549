//! Extension modules that others publish and that carry real services' effects. They are recognised where they
//! are loaded; the names are those that discovery found on psycopg2 2.9, pymongo 4.20, hiredis 3.5, orjson 3.13
//! and numpy 2.5. Those of mysqlclient are from its sources.

use super::super::Effect;
use super::parts::{COMMAND, DSN, FILE, NONE, PATH_POSITIONAL, QUERY, SQL, call};

#[rustfmt::skip]
pub static TABLE: &[Effect] = &[
    // psycopg2
    call(&["psycopg2._psycopg._connect"], "db.connect", DSN),
    call(&["psycopg2.extensions.cursor.execute"], "db.execute", QUERY),
    call(&["psycopg2.extensions.cursor.executemany"], "db.execute", QUERY),
    call(&["psycopg2.extensions.cursor.callproc"], "db.execute", SQL),
    call(&["psycopg2.extensions.cursor.copy_expert"], "db.execute", SQL),
    call(&["psycopg2.extensions.cursor.copy_from"], "db.execute", NONE),
    call(&["psycopg2.extensions.cursor.copy_to"], "db.fetch", NONE),
    call(&["psycopg2.extensions.cursor.fetchone"], "db.fetch", NONE),
    call(&["psycopg2.extensions.cursor.fetchmany"], "db.fetch", NONE),
    call(&["psycopg2.extensions.cursor.fetchall"], "db.fetch", NONE),
    call(&["psycopg2.extensions.cursor.__next__"], "db.fetch", NONE),
    call(&["psycopg2.extensions.cursor.scroll"], "db.fetch", NONE),
    call(&["psycopg2.extensions.connection.commit"], "db.commit", NONE),
    call(&["psycopg2.extensions.connection.__exit__"], "db.commit", NONE),
    call(&["psycopg2.extensions.connection.tpc_commit"], "db.commit", NONE),
    call(&["psycopg2.extensions.connection.tpc_prepare"], "db.commit", NONE),
    call(&["psycopg2.extensions.connection.rollback"], "db.rollback", NONE),
    call(&["psycopg2.extensions.connection.tpc_rollback"], "db.rollback", NONE),
    call(&["psycopg2.extensions.connection.reset"], "db.rollback", NONE),
    call(&["psycopg2.extensions.connection.close"], "db.close", NONE),
    call(&["psycopg2.extensions.connection.cancel"], "db.cancel", NONE),
    call(&["psycopg2.extensions.cursor.close"], "db.close", NONE),
    call(&["psycopg2.extensions.connection.set_session"], "db.configure", NONE),
    call(&["psycopg2.extensions.connection.set_isolation_level"], "db.configure", NONE),
    call(&["psycopg2.extensions.connection.set_client_encoding"], "db.configure", NONE),
    call(&["psycopg2.extensions.connection.lobject"], "db.open_blob", NONE),
    call(&["psycopg2.extensions.lobject.read"], "db.fetch", NONE),
    call(&["psycopg2.extensions.lobject.write"], "db.execute", NONE),
    call(&["psycopg2.extensions.lobject.unlink"], "db.execute", NONE),
    call(&["psycopg2.extensions.lobject.truncate"], "db.execute", NONE),
    call(&["psycopg2.extensions.lobject.export"], "db.fetch", NONE),
    call(&["psycopg2.extensions.lobject.close"], "db.close", NONE),

    // mysqlclient
    call(&["MySQLdb._mysql.connect"], "db.connect", NONE),
    call(&["MySQLdb._mysql.connection.__init__"], "db.connect", NONE),
    call(&["MySQLdb._mysql.connection.query"], "db.execute", SQL),
    call(&["MySQLdb._mysql.connection.send_query"], "db.execute", SQL),
    call(&["MySQLdb._mysql.connection.commit"], "db.commit", NONE),
    call(&["MySQLdb._mysql.connection.rollback"], "db.rollback", NONE),
    call(&["MySQLdb._mysql.connection.close"], "db.close", NONE),
    call(&["MySQLdb._mysql.result.fetch_row"], "db.fetch", NONE),
    call(&["MySQLdb._mysql.connection.ping"], "db.configure", NONE),
    call(&["MySQLdb._mysql.connection.select_db"], "db.configure", NONE),
    call(&["MySQLdb._mysql.connection.autocommit"], "db.configure", NONE),

    // pymongo: its messages, as they are made for the wire, and its documents
    call(&["pymongo._cmessage._op_msg"], "db.execute", NONE),
    call(&["pymongo._cmessage._query_message"], "db.execute", NONE),
    call(&["pymongo._cmessage._get_more_message"], "db.execute", NONE),
    call(&["pymongo._cmessage._batched_op_msg"], "db.execute", NONE),
    call(&["pymongo._cmessage._encode_batched_op_msg"], "db.execute", NONE),
    call(&["pymongo._cmessage._encode_batched_write_command"], "db.execute", NONE),
    call(&["bson._cbson._dict_to_bson"], "memory.serialize", NONE),
    call(&["bson._cbson._bson_to_dict"], "memory.parse", NONE),
    call(&["bson._cbson._decode_all"], "memory.parse", NONE),

    // hiredis: a Redis command, as it is made for the wire, and the answers
    call(&["hiredis.hiredis.pack_command"], "db.execute", COMMAND),
    call(&["hiredis.Reader.feed"], "memory.parse", NONE),
    call(&["hiredis.Reader.gets"], "db.fetch", NONE),

    // orjson
    call(&["orjson.dumps"], "memory.serialize", NONE),
    call(&["orjson.loads"], "memory.parse", NONE),

    // numpy
    call(&["numpy.fromfile"], "file.read", FILE),
    call(&["numpy.ndarray.tofile"], "file.write", PATH_POSITIONAL),
    call(&["numpy.generic.tofile"], "file.write", PATH_POSITIONAL),
    call(&["numpy.ndarray.dump"], "file.write", FILE),
    call(&["numpy.generic.dump"], "file.write", FILE),
    call(&["numpy._core._multiarray_umath._load_from_filelike"], "file.read", NONE),
];
