//! Which functions work on a file descriptor that is not among their arguments.

use tracer_common::{cookie::SelfKind, handle::HandleKind};

use super::{From, TargetPart};

/// Types with a descriptor, and where they have it.
const TYPES: &[(&str, HandleKind)] = &[
    ("_socket.socket", HandleKind::Own),
    ("_io.FileIO", HandleKind::Own),
    ("_io.BufferedReader", HandleKind::Raw),
    ("_io.BufferedWriter", HandleKind::Raw),
    ("_io.BufferedRandom", HandleKind::Raw),
    ("_io.TextIOWrapper", HandleKind::Text),
    ("_ssl._SSLSocket", HandleKind::Weak),
    // Both names of Python 2's builtins.
    ("__builtin__.file", HandleKind::Stream),
    ("builtins.file", HandleKind::Stream),
];

/// Where the descriptor of a function's call is. `names` are all that the function has: where they belong to types
/// that have it in different places, it is not looked for.
pub fn handle_of<'n>(
    names: impl Iterator<Item = &'n str>,
    self_kind: SelfKind,
    target: &[TargetPart],
    is_python2: bool,
    is_glibc: bool,
) -> HandleKind {
    let in_arguments =
        |part: &TargetPart| part.key == "fd" && matches!(part.from, From::Argument { position: 0, .. });
    if target.iter().any(in_arguments) {
        return HandleKind::Argument;
    }
    if self_kind != SelfKind::Bound {
        return HandleKind::None;
    }
    let mut found = names.map(|name| {
        let (owner, _) = name.rsplit_once('.').unwrap_or_default();
        let known = TYPES.iter().find(|(ty, _)| *ty == owner);
        known.map_or(HandleKind::None, |(_, kind)| *kind)
    });
    let first = found.next().unwrap_or_default();
    if !found.all(|kind| kind == first) {
        return HandleKind::None;
    }
    // In Python 2 it is a strong reference (Modules/_ssl.c at v2.7.18).
    match first {
        HandleKind::Weak if is_python2 => HandleKind::Raw,
        HandleKind::Stream if !is_glibc => HandleKind::None,
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_the_descriptor_of_its_types() {
        let of = |names: &[&str], python2| {
            handle_of(names.iter().copied(), SelfKind::Bound, &[], python2, python2)
        };
        assert_eq!(of(&["_socket.socket.send"], false), HandleKind::Own);
        assert_eq!(
            of(
                &["_io.BufferedReader.readline", "_io.BufferedRandom.readline"],
                false
            ),
            HandleKind::Raw
        );
        assert_eq!(
            of(&["_io.FileIO.read", "_io.BytesIO.read"], false),
            HandleKind::None
        );
        assert_eq!(of(&["_ssl._SSLSocket.write"], false), HandleKind::Weak);
        assert_eq!(of(&["_ssl._SSLSocket.write"], true), HandleKind::Raw);
        assert_eq!(of(&["zlib.crc32"], false), HandleKind::None);
        assert_eq!(
            of(&["__builtin__.file.write", "builtins.file.write"], true),
            HandleKind::Stream
        );
        assert_eq!(of(&["__builtin__.file.write"], false), HandleKind::None);
        let fd = [TargetPart {
            key: "fd",
            from: From::Argument {
                position: 0,
                name: "fd",
            },
        }];
        let write = handle_of(["posix.write"].into_iter(), SelfKind::Module, &fd, false, true);
        assert_eq!(write, HandleKind::Argument);
    }
}
