//! What a file descriptor stood for at the moment of a call.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tracer_common::{
    handle::{AF_INET, AF_INET6, HANDLE_WORDS, is_socket, word},
    wire::TypeRef,
};

/// A file descriptor, and what was open under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    pub fd: u32,
    /// Type of the object that has the descriptor, where that is neither `self` nor an argument. The kernel half
    /// trusted it to be a file or a socket; whoever knows names can tell.
    pub owner: Option<TypeRef>,
    /// `None`: nothing was open under it, or the kernel does not say.
    pub file: Option<OpenFile>,
}

/// What tells an open file from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    pub inode: u64,
    /// Another one for each use of an inode number.
    pub generation: u32,
    /// As the kernel has it: the major number from bit 20 on.
    pub device: u32,
    /// Stands for the name under which it was opened: a file may have several. 0: there is none.
    pub name: u64,
}

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    pub id: FileId,
    /// `st_mode`.
    pub mode: u16,
    /// Local and remote address of an internet socket.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
}

impl OpenFile {
    pub fn is_socket(&self) -> bool {
        is_socket(self.mode)
    }

    /// The address at the other end, if there is one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.addresses
            .map(|(_, remote)| remote)
            .filter(|remote| remote.port() != 0)
    }
}

impl Handle {
    /// From a record's words.
    pub fn new(fd: u32, words: [u64; HANDLE_WORDS]) -> Self {
        let owner = TypeRef {
            address: words[word::TYPE],
            fingerprint: words[word::TYPE + 1],
        };
        let kind = words[word::KIND];
        let file = OpenFile {
            id: FileId {
                inode: words[word::INODE],
                generation: (words[word::DEVICE] >> 32) as u32,
                device: words[word::DEVICE] as u32,
                name: match is_socket(kind as u16) {
                    true => 0,
                    false => words[word::LOCAL],
                },
            },
            mode: kind as u16,
            addresses: addresses(&words),
        };
        Self {
            fd,
            owner: (owner.address != 0).then_some(owner),
            file: (file.mode != 0).then_some(file),
        }
    }
}

fn addresses(words: &[u64; HANDLE_WORDS]) -> Option<(SocketAddr, SocketAddr)> {
    let kind = words[word::KIND];
    let ip = |at: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&words[at].to_le_bytes());
        bytes[8..].copy_from_slice(&words[at + 1].to_le_bytes());
        match (kind >> 16) as u16 {
            AF_INET => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
            // An IPv4 address that an IPv6 socket talks to is shown as what it is.
            AF_INET6 => Some(Ipv6Addr::from(bytes).to_canonical()),
            _ => None,
        }
    };
    let local_port = (kind >> 32) as u16;
    let remote_port = u16::from_be((kind >> 48) as u16);
    Some((
        SocketAddr::new(ip(word::LOCAL)?, local_port),
        SocketAddr::new(ip(word::REMOTE)?, remote_port),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `S_IFSOCK`.
    const SOCKET: u16 = 0o140_000;

    fn words(kind: u64, local: [u64; 2], remote: [u64; 2]) -> [u64; HANDLE_WORDS] {
        [
            0,
            0,
            77,
            5 << 32 | 8 << 20 | 1,
            kind,
            local[0],
            local[1],
            remote[0],
            remote[1],
        ]
    }

    #[test]
    fn addresses_are_read_as_the_kernel_has_them() {
        let ports = 5432u64.swap_bytes() >> 48 << 48 | 40_000 << 32;
        let v4 = words(
            ports | 2 << 16 | u64::from(SOCKET),
            [0x0100_007f, 0],
            [0x0201_a8c0, 0],
        );
        let handle = Handle::new(7, v4);
        let file = handle.file.unwrap();
        assert!(file.is_socket());
        assert_eq!(file.peer().unwrap().to_string(), "192.168.1.2:5432");
        assert_eq!(file.addresses.unwrap().0.to_string(), "127.0.0.1:40000");
        assert_eq!(
            (file.id.inode, file.id.generation, file.id.device),
            (77, 5, 8 << 20 | 1)
        );
        let loopback = [0, 1 << 56];
        let v6 = words(ports | 10 << 16 | u64::from(SOCKET), loopback, loopback);
        let file = Handle::new(7, v6).file.unwrap();
        assert_eq!(file.peer().unwrap().to_string(), "[::1]:5432");
        // ::ffff:127.0.0.1
        let mapped = [0, 0x0100_007f_ffff_0000];
        let v6 = words(ports | 10 << 16 | u64::from(SOCKET), mapped, mapped);
        let file = Handle::new(7, v6).file.unwrap();
        assert_eq!(file.peer().unwrap().to_string(), "127.0.0.1:5432");
    }

    #[test]
    fn what_has_no_peer_says_so() {
        let listening = words(80 << 32 | 2 << 16 | u64::from(SOCKET), [0, 0], [0, 0]);
        assert_eq!(Handle::new(3, listening).file.unwrap().peer(), None);
        let file = words(0o100_644, [99, 0], [0, 0]);
        let file = Handle::new(3, file).file.unwrap();
        assert_eq!((file.addresses, file.id.name), (None, 99));
        assert_eq!(Handle::new(3, [0; HANDLE_WORDS]).file, None);
    }
}
