//! What a file descriptor stands for, found out in the kernel at the moment of the call.
//!
//! Descriptors are numbers that are used again and again; only the kernel knows what one means just now. So a record
//! of a call on a descriptor ends with a [`Tag::Handle`](crate::wire::Tag::Handle): the open file's inode, which tells
//! it from every other one, and the addresses of a socket.

/// Where a call's file descriptor is, by what the traced function is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HandleKind {
    /// It has none.
    #[default]
    None = 0,
    /// The first field of `self`: `fd` of `_io.FileIO` (Modules/_io/fileio.c), `sock_fd` of `_socket.socket`
    /// (Modules/socketmodule.h).
    Own = 1,
    /// That of the object which is the first field of `self`: `raw` of a buffer (Modules/_io/bufferedio.c); in Python 2
    /// the `Socket` of an SSL object (Modules/_ssl.c).
    Raw = 2,
    /// That of the `raw` of `self`'s `buffer` (Modules/_io/textio.c).
    Text = 3,
    /// That of the socket to which the first field of `self`, an SSL object, has a weak reference (Modules/_ssl.c).
    Weak = 4,
    /// The first argument.
    Argument = 5,
    /// That of the C stream to which the first field of `self` points: Python 2's `file` (Include/fileobject.h), with
    /// glibc.
    Stream = 6,
}

impl HandleKind {
    /// All kinds, in numeric order.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Own,
        Self::Raw,
        Self::Text,
        Self::Weak,
        Self::Argument,
        Self::Stream,
    ];
}

macro_rules! offsets {
    ($(#[$about:meta])* $name:ident; $($(#[$doc:meta])* $field:ident = $structure:literal . $member:literal,)+) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name {
            $($(#[$doc])* #[doc = concat!("\n\n`struct ", $structure, "`, `", $member, "`.")] pub $field: u64,)+
            /// 1: they are known.
            pub known: u64,
        }

        impl $name {
            /// Asks for each offset by struct and member; `None` where one is not known.
            pub fn from_lookup(mut get: impl FnMut(&str, &str) -> Option<u64>) -> Option<Self> {
                Some(Self {
                    $($field: get($structure, $member)?,)+
                    known: 1,
                })
            }
        }
    };
}

offsets! {
    /// What tells open files from one another, and where internet sockets are connected to.
    FileOffsets;
    /// Of the running task.
    files = "task_struct"."files",
    fdt = "files_struct"."fdt",
    max_fds = "fdtable"."max_fds",
    fd = "fdtable"."fd",
    inode = "file"."f_inode",
    private_data = "file"."private_data",
    mode = "inode"."i_mode",
    number = "inode"."i_ino",
    generation = "inode"."i_generation",
    superblock = "inode"."i_sb",
    device = "super_block"."s_dev",
    sock = "socket"."sk",
    family = "sock_common"."skc_family",
    remote_port = "sock_common"."skc_dport",
    /// In the order of this machine, unlike the other port.
    local_port = "sock_common"."skc_num",
    remote = "sock_common"."skc_daddr",
    local = "sock_common"."skc_rcv_saddr",
    remote6 = "sock_common"."skc_v6_daddr",
    local6 = "sock_common"."skc_v6_rcv_saddr",
}

offsets! {
    /// Names of Unix sockets.
    UnixOffsets;
    address = "unix_sock"."addr",
    peer = "unix_sock"."peer",
    len = "unix_address"."len",
    name = "unix_address"."name",
}

offsets! {
    /// Paths of files.
    PathOffsets;
    path = "file"."f_path",
    /// Of `file.f_path`.
    path_mount = "path"."mnt",
    path_dentry = "path"."dentry",
    parent = "dentry"."d_parent",
    name = "dentry"."d_name",
    /// Of `dentry.d_name`: its length is in the upper half.
    hash_len = "qstr"."hash_len",
    text = "qstr"."name",
    root = "vfsmount"."mnt_root",
    /// Where in a `struct mount` (fs/mount.h) the `struct vfsmount` is that others refer to.
    mount = "mount"."mnt",
    mount_parent = "mount"."mnt_parent",
    mount_point = "mount"."mnt_mountpoint",
}

/// Offsets in bytes in the running kernel's own structs, from its type information.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KernelOffsets {
    pub files: FileOffsets,
    pub unix: UnixOffsets,
    pub paths: PathOffsets,
}

impl KernelOffsets {
    /// Asks for each offset by struct and member. What is not known is left out.
    pub fn from_lookup(mut get: impl FnMut(&str, &str) -> Option<u64>) -> Self {
        Self {
            files: FileOffsets::from_lookup(&mut get).unwrap_or_default(),
            unix: UnixOffsets::from_lookup(&mut get).unwrap_or_default(),
            paths: PathOffsets::from_lookup(&mut get).unwrap_or_default(),
        }
    }
}

/// Address families of `skc_family` (include/linux/socket.h).
pub const AF_UNIX: u16 = 1;
pub const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;

/// Whether an `i_mode` is a socket's: `S_IFMT` and `S_IFSOCK` of include/uapi/linux/stat.h.
#[inline(always)]
pub const fn is_socket(mode: u16) -> bool {
    mode & 0o170_000 == 0o140_000
}

/// Words after the first of a handle: the type of the object that has the descriptor, if it is not `self`
/// (`TypeRef`); inode number; generation and device; mode, address family and ports; local and remote address.
pub const HANDLE_WORDS: usize = 9;

/// Words of the longest name of a Unix socket: `sun_path` of `struct sockaddr_un` (include/uapi/linux/un.h) has 108
/// bytes.
pub const UNIX_NAME_WORDS: usize = 14;

/// Whether an `i_mode` is a pipe's (`S_IFIFO`).
#[inline(always)]
pub const fn is_fifo(mode: u16) -> bool {
    mode & 0o170_000 == 0o010_000
}

/// Whether an `i_mode` has no type at all: eventfd, epoll and others (fs/anon_inodes.c).
#[inline(always)]
pub const fn is_anonymous(mode: u16) -> bool {
    mode & 0o170_000 == 0
}

/// Bytes of a file's name at most (`NAME_MAX`, include/uapi/linux/limits.h).
pub const NAME_MAX: u32 = 255;

/// Where what is in the words of a handle.
pub mod word {
    /// Address and fingerprint of a type.
    pub const TYPE: usize = 0;
    pub const INODE: usize = 2;
    /// Generation (bits 32..64) and `s_dev` (bits 0..32).
    pub const DEVICE: usize = 3;
    /// `i_mode` (bits 0..16), `skc_family` (16..32), local port (32..48), remote port, big endian (48..64).
    pub const KIND: usize = 4;
    /// Two words, bytes as in a packet. Of what is no socket, the first word stands for the name under which the file
    /// was opened (see [`crate::wire::KIND_PATH`]); 0: there is none.
    pub const LOCAL: usize = 5;
    pub const REMOTE: usize = 7;
}
