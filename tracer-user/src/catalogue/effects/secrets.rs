//! Which arguments, names and texts are secret: what is masked unless somebody asks for it.

use super::From;

/// Arguments (and results) that are secret by the function they are given to, whether or not it has an effect.
///
/// The signatures are those of `Modules/_hashopenssl.c`, `Modules/_ssl.c` and `Modules/_cryptmodule.c` (v3.11.7)
/// and of the packages' own documentation.
#[rustfmt::skip]
pub static ARGUMENTS: &[(&str, &[From])] = &[
    ("_ssl._SSLContext.load_cert_chain", &[arg(2, "password")]),
    ("_hashlib.hmac_digest", &[arg(0, "key")]),
    ("_hashlib.hmac_new", &[arg(0, "key")]),
    ("_hashlib.pbkdf2_hmac", &[arg(1, "password")]),
    ("_hashlib.scrypt", &[arg(0, "password")]),
    ("_hashlib.compare_digest", &[arg(0, ""), arg(1, "")]),
    ("_operator._compare_digest", &[arg(0, ""), arg(1, "")]),
    ("operator._compare_digest", &[arg(0, ""), arg(1, "")]),
    ("_hmac.new", &[arg(0, "key")]),
    ("_hmac.compute_digest", &[arg(0, "key")]),
    ("_blake2.blake2b", &[keyword("key")]),
    ("_blake2.blake2s", &[keyword("key")]),
    ("_crypt.crypt", &[arg(0, "word")]),
    ("crypt.crypt", &[arg(0, "")]),
    ("spwd.getspnam", &[From::Result]),
    ("spwd.getspall", &[From::Result]),
    ("psycopg2._psycopg.encrypt_password", &[arg(0, "password")]),
    ("MySQLdb._mysql.connect", &[arg(2, "passwd")]),
    ("MySQLdb._mysql.connection.__init__", &[arg(2, "passwd")]),
    ("cryptography.hazmat.bindings._rust.openssl.keys.load_pem_private_key", &[arg(0, "data"), arg(1, "password")]),
    ("cryptography.hazmat.bindings._rust.openssl.keys.load_der_private_key", &[arg(0, "data"), arg(1, "password")]),
];

const fn arg(position: usize, name: &'static str) -> From {
    From::Argument { position, name }
}

/// Given by keyword only.
const fn keyword(name: &'static str) -> From {
    arg(usize::MAX, name)
}

/// The secret arguments of a function.
pub fn arguments(function: &str) -> &'static [From] {
    let row = ARGUMENTS.iter().find(|(name, _)| *name == function);
    row.map_or(&[], |(_, secrets)| secrets)
}

/// Ends of names of secrets, in lower case and without `_` and `-`.
const ENDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authkey",
    "encryptionkey",
    "credentials",
];
/// Variables that end so and hold the working directory.
const NOT: [&str; 2] = ["PWD", "OLDPWD"];
/// Longer names are no names.
const MAX_NAME: usize = 64;

/// Is it the name of a secret: `password`, `db_passwd`, `X-Api-Key`, `accessToken`?
pub fn is_name(name: &[u8]) -> bool {
    if name.len() > MAX_NAME || NOT.iter().any(|not| not.as_bytes() == name) {
        return false;
    }
    let letters: Vec<u8> = name
        .iter()
        .filter(|c| !matches!(c, b'_' | b'-'))
        .map(u8::to_ascii_lowercase)
        .collect();
    ENDS.iter().any(|end| letters.ends_with(end.as_bytes()))
}

/// Is it the name of an environment variable that holds a secret: also `SIGNING_KEY`?
pub fn is_variable(name: &[u8]) -> bool {
    is_name(name) || name == b"KEY" || name.len() <= MAX_NAME && name.ends_with(b"_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "passwd",
            "DB_PASSWORD",
            "accessToken",
            "X-Api-Key",
            "pwd",
            "MYSQL_PWD",
        ] {
            assert!(is_name(name.as_bytes()), "{name}");
        }
        for name in ["PWD", "OLDPWD", "key", "max_tokens", "monkey", "path", ""] {
            assert!(!is_name(name.as_bytes()), "{name}");
        }
        assert!(is_variable(b"SIGNING_KEY") && is_variable(b"AWS_SECRET_ACCESS_KEY"));
        assert!(!is_variable(b"KEYBOARD") && !is_variable(b"PATH"));
    }

    #[test]
    fn functions_have_secret_arguments_once() {
        let names: std::collections::BTreeSet<_> = ARGUMENTS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ARGUMENTS.len());
        assert_eq!(arguments("_hashlib.scrypt"), [arg(0, "password")]);
        assert!(arguments("posix.open").is_empty());
    }
}
